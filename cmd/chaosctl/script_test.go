//go:build unix

package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in the scripts")

// TestMain makes this test binary the chaosctl that the scripts run, as real
// processes: they are signalled and killed.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"chaosctl":         main,
		"toxiproxy-server": main,                                             // as a program that bears the original's name
		"sleeper":          func() { _, _ = os.Stdin.Read(make([]byte, 1)) }, // until its stdin is closed
	})
}

func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, params(t, filepath.Join("testdata", "script")))
}

// params are the commands and the environment of the scripts. Every script has
// a state folder of its own, and no default port is used: what the scripts call
// a server is named by CHAOSCTL_SERVER.
func params(t *testing.T, dir string) testscript.Params {
	p := testscript.Params{
		Dir:                 dir,
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("USER", "tester")
			e.Setenv("CHAOSCTL_STATE_DIR", filepath.Join(e.WorkDir, "state"))
			s := newStage(e)
			e.Values[stageKey{}] = s
			e.Defer(s.close)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   cmdExits,
			"start":   cmdStart,
			"end":     cmdEnd,
			"await":   cmdAwait,
			"backend": cmdBackend,
			"answers": cmdAnswers,
			"fails":   cmdFails,
			"json":    cmdJSON,
			"port":    cmdPort,
			"state":   cmdState,
			"count":   cmdCount,
			"fill":    cmdFill,
			"until":   cmdUntil,
			"hold":    cmdHold,
			"storm":   cmdStorm,
			"within":  cmdWithin,
			"same":    cmdSame,
			"ask":     cmdAsk,
			"tries":   cmdTries,
			"holds":   cmdHolds,
			"resolve": cmdResolve,

			"nameserver": cmdNameserver,
		},
	}
	if d, ok := t.Deadline(); ok {
		p.Deadline = d.Add(-5 * time.Second)
	}
	return p
}
