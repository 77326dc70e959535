package cli

import (
	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema topology|experiment",
		Short: "Print the JSON Schema of a document, so that editors complete it",
		Long: `Prints a JSON Schema. An editor with the YAML language server completes and checks
a document whose first line is
  # yaml-language-server: $schema=experiment.schema.json`,
		Example:   "  chaosctl schema experiment > experiment.schema.json",
		ValidArgs: []string{"topology", "experiment"},
		Args:      arguments(1, 1, "a document: topology or experiment"),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] != "topology" && args[0] != "experiment" {
				return badInput("", "there is no schema for %q; there is for topology and experiment", args[0])
			}
			b, err := experiment.Schema(args[0])
			if err != nil {
				return err
			}
			_, err = a.env.Stdout.Write(append(b, '\n'))
			return err
		},
	}
}
