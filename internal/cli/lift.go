package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
)

func (a *app) liftCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "lift ID...",
		Short:             "Take injections out again",
		Long:              "Takes injections out again. The beginning of an id, four characters or more, is\nenough where it fits one only.",
		Args:              arguments(1, -1, "the id of an injection; `chaosctl status` lists them"),
		ValidArgsFunction: a.completeInjections,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.lift(cmd.Context(), c, args)
		},
	}
	a.remote.register(cmd, "")
	return cmd
}

// lifter is what lift asks of a server.
type lifter interface {
	Status(ctx context.Context) (experiment.Status, error)
	Lift(ctx context.Context, id string) (experiment.Injection, error)
}

func (a *app) lift(ctx context.Context, c lifter, words []string) error {
	for _, w := range words {
		if strings.TrimSpace(w) == "" {
			return badInput("`chaosctl status` lists them; `chaosctl halt` lifts everything", "the id of an injection is empty")
		}
	}
	s, err := c.Status(ctx)
	if err != nil {
		return a.remoteError(err)
	}
	ids := make([]string, len(words)) // all of them are found before any is lifted
	for i, w := range words {
		if ids[i], err = resolveID(w, s.Injections); err != nil {
			return err
		}
	}
	lifted, stuck := []experiment.Injection{}, false
	for _, id := range slices.Compact(ids) {
		in, err := c.Lift(ctx, id)
		if err != nil {
			return a.remoteError(err)
		}
		lifted = append(lifted, in)
		stuck = stuck || in.State == experiment.Stuck
		if !a.json() {
			a.printLifted(in)
		}
	}
	if a.json() {
		if err := a.printJSON(lifted); err != nil {
			return err
		}
	}
	if stuck {
		return exit(experiment.ExitStuck)
	}
	return nil
}

func (a *app) printLifted(in experiment.Injection) {
	r := in.Receipt()
	switch in.State {
	case experiment.Stuck:
		a.printf("STUCK %s: %s\n", in.ID, line(in.Problem))
	case experiment.Expired:
		a.printf("%s was over already: its lease ended\n", in.ID)
	default:
		a.printf("lifted %s after %s: %s\n", in.ID, short(time.Since(in.Since)), receiptWords(r.Matched, r.Injected, r.Skipped, string(r.Unit)))
	}
}

// leastPrefix is how many characters of an id stand for all of it.
const leastPrefix = 4

// resolveID finds the one injection whose id begins with word. Ids that the
// status no longer lists are left to the server.
func resolveID(word string, known []experiment.Injection) (string, error) {
	var fits []string
	for _, in := range known {
		if in.ID == word {
			return word, nil
		}
		if word != "" && strings.HasPrefix(in.ID, word) {
			fits = append(fits, in.ID)
		}
	}
	switch {
	case len(fits) == 0:
		return word, nil
	case len(word) < leastPrefix:
		return "", badInput("`chaosctl status` lists them", "%q is too little of an id: give %d characters or more", word, leastPrefix)
	case len(fits) == 1:
		return fits[0], nil
	}
	return "", badInput("", "%q fits several injections: %s", word, strings.Join(fits, ", "))
}
