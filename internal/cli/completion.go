package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes commands, services, kinds and ids in a shell",
		Long: `Prints a completion script. For the current shell only:

  source <(chaosctl completion bash)
  chaosctl completion fish | source

For every new one, write it where the shell looks, for example
  chaosctl completion bash > ~/.local/share/bash-completion/completions/chaosctl
  chaosctl completion zsh  > "${fpath[1]}/_chaosctl"`,
		ValidArgs: shells,
		Args:      arguments(1, 1, "a shell: bash, zsh, fish or powershell"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, w := cmd.Root(), a.env.Stdout
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(w, true)
			case "zsh":
				return root.GenZshCompletion(w)
			case "fish":
				return root.GenFishCompletion(w, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(w)
			}
			return badInput("", "there is no completion for %q; there is for bash, zsh, fish and powershell", args[0])
		},
	}
}
