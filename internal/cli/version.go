package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  nothing,
		RunE: func(*cobra.Command, []string) error {
			v := version()
			if a.json() {
				return a.printJSON(v)
			}
			a.printf("%s\n", versionText(v))
			return nil
		},
	}
}

func versionText(v experiment.Version) string {
	commit := ""
	if v.Commit != "" {
		commit = " (" + v.Commit + ")"
	}
	return fmt.Sprintf("chaosctl %s%s %s %s/%s", v.Chaosctl, commit, v.Go, v.OS, v.Arch)
}

// version reads what the Go tool recorded in the binary.
func version() experiment.Version {
	v := experiment.Version{Chaosctl: "devel", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if m := info.Main.Version; m != "" && m != "(devel)" {
		v.Chaosctl = m
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
