package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
)

func (a *app) haltCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "halt",
		Short: "Abort all runs and lift every fault, whoever put it in force",
		Long:  "Aborts all runs and lifts every fault, whoever put it in force. Exits with 5 when one could not be lifted.",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			res, err := c.Halt(cmd.Context(), why)
			if err != nil {
				return a.remoteError(err)
			}
			if a.json() {
				err = a.printJSON(res)
			} else {
				a.printHalt(res)
			}
			if err == nil && len(res.Stuck) > 0 {
				return exit(experiment.ExitStuck)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the `reason`, for the records")
	_ = cmd.Flags().SetAnnotation("why", mayBeEmpty, nil)
	a.remote.register(cmd, "")
	return cmd
}

func (a *app) printHalt(res experiment.HaltResult) {
	if len(res.Lifted)+len(res.Aborted)+len(res.Stuck) == 0 {
		a.printf("halted: nothing was in force\n")
		return
	}
	if len(res.Aborted) > 0 {
		a.printf("aborted %s: %s\n", count(len(res.Aborted), "run"), strings.Join(res.Aborted, ", "))
	}
	if len(res.Lifted) > 0 {
		a.printf("lifted %s: %s\n", count(len(res.Lifted), "injection"), strings.Join(res.Lifted, ", "))
	}
	for _, s := range res.Stuck {
		a.printf("STUCK %s\n", line(s))
	}
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// receiptWords is a receipt in words.
func receiptWords(matched, injected, skipped uint64, unit string) string {
	if unit == "" {
		unit = "unit"
	}
	if matched == 0 && injected == 0 {
		return "it hit nothing"
	}
	words := fmt.Sprintf("it hurt %s of %d that matched", count(int(injected), unit), matched)
	if skipped > 0 {
		words += fmt.Sprintf(", %d spared", skipped)
	}
	return words
}
