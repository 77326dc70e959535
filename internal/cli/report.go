package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/report"
)

func (a *app) reportCommand() *cobra.Command {
	var out outputs
	cmd := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Render the record of a run again; without RUN, list the runs",
		Long: `Renders the record of a run again. RUN is an id, the beginning of one, "last", or
a file that run --json wrote. Without it, lists the runs. Records are read from
the state folder, or from a server that was named with --server or
CHAOSCTL_SERVER.`,
		Example:           "  chaosctl report last --html report.html",
		Args:              arguments(0, 1, "one run"),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := a.records()
			if err != nil {
				return err
			}
			if len(args) == 1 && strings.TrimSpace(args[0]) == "" {
				return badInput("`chaosctl report` lists them", "the id of the run is empty")
			}
			if len(args) == 0 {
				if len(out.list()) > 0 {
					return badInput("`chaosctl report` lists them", "say which run to render")
				}
				return a.listRuns(cmd.Context(), src)
			}
			if err := out.check(a.env.Stdout, a.json()); err != nil {
				return err
			}
			record, err := a.findRecord(cmd.Context(), src, args[0])
			if err != nil {
				return err
			}
			return a.deliver(record, &out)
		},
	}
	out.register(cmd)
	a.remote.register(cmd, "no server: the state folder")
	a.registerState(cmd)
	return cmd
}

// records is where records of runs are found.
type records interface {
	runs(ctx context.Context) ([]experiment.RunSummary, error)
	run(ctx context.Context, id string) (*experiment.Run, error)
	// ledger hands over the exchanges of a run that fit; r is its record, if it has one.
	ledger(ctx context.Context, id string, r *experiment.Run, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error
}

func (a *app) records() (records, error) {
	if _, told := a.serverURL(); told {
		c, err := a.connect()
		if err != nil {
			return nil, err
		}
		return remoteRecords{a, c}, nil
	}
	dir, err := a.state()
	if err != nil {
		return nil, err
	}
	return storedRecords{dir}, nil
}

type storedRecords struct{ dir string }

func (s storedRecords) runs(context.Context) ([]experiment.RunSummary, error) {
	return engine.StoredRuns(s.dir)
}

func (s storedRecords) run(_ context.Context, id string) (*experiment.Run, error) {
	return engine.LoadRun(s.dir, id)
}

func (a *app) listRuns(ctx context.Context, src records) error {
	runs, err := src.runs(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		if runs == nil {
			runs = []experiment.RunSummary{}
		}
		return a.printJSON(runs)
	}
	if len(runs) == 0 {
		a.printf("there are no runs yet; chaosctl demo makes two\n")
		return nil
	}
	rows := [][]string{{"RUN", "STARTED", "TOOK", "VERDICT", "EXPERIMENT"}}
	for _, r := range runs {
		verdict, took := string(r.Stage), "-"
		if r.Verdict != nil {
			verdict = string(r.Verdict.Outcome)
		}
		if !r.Ended.IsZero() {
			took = short(r.Ended.Sub(r.Started))
		}
		rows = append(rows, []string{r.ID, r.Started.Local().Format(time.DateTime), took, verdict, r.Experiment})
	}
	columns(a.env.Stdout, rows)
	return nil
}

// findRecord finds a record by file, by "last", or by an id or its beginning.
func (a *app) findRecord(ctx context.Context, src records, word string) (*experiment.Run, error) {
	if info, err := os.Stat(word); err == nil && !info.IsDir() {
		b, err := os.ReadFile(word)
		if err != nil {
			return nil, fileProblem(word, err)
		}
		r, err := report.ReadJSON(b)
		if err != nil {
			return nil, experiment.Problems{{File: word, Message: "is not the record of a run: " + strings.TrimPrefix(err.Error(), "report: ")}}
		}
		return r, nil
	} else if strings.ContainsRune(word, filepath.Separator) || strings.HasSuffix(word, ".json") {
		return nil, fileProblem(word, errors.Join(err))
	}
	runs, err := src.runs(ctx)
	if err != nil {
		return nil, err
	}
	var fits []string
	for _, r := range runs {
		switch {
		case r.ID == word:
			return src.run(ctx, word)
		case word == "last", strings.HasPrefix(r.ID, word):
			fits = append(fits, r.ID)
		}
	}
	switch {
	case len(fits) == 0 && word == "last":
		return nil, refusal(experiment.NotFound, "run one: chaosctl run FILE", "there are no runs yet")
	case len(fits) == 0:
		return src.run(ctx, word)
	case len(fits) > 1 && word != "last":
		return nil, badInput("", "%q fits several runs: %s", word, strings.Join(fits, ", "))
	}
	return src.run(ctx, fits[len(fits)-1])
}
