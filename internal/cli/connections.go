package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/client"
	"github.com/chaosctl/chaosctl/experiment"
)

func (a *app) connectionsCommand() *cobra.Command {
	var edge string
	cmd := &cobra.Command{
		Use:   "connections",
		Short: "Show the live connections of the edges, or close some",
		Long: `Shows every connection that is open on the edges: its age, the bytes that came from
the caller and went to it, and the faults it was drawn for.`,
		Example: `  chaosctl connections --edge 'api-service -> db-service'
  chaosctl connections close 17`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return a.connections(cmd.Context(), edge)
		},
	}
	cmd.Flags().StringVar(&edge, "edge", "", "only those of one edge: `'caller -> callee'`")
	a.remote.register(cmd, "")
	_ = cmd.RegisterFlagCompletionFunc("edge", a.completeEdges)
	cmd.AddCommand(a.closeConnectionsCommand())
	return cmd
}

func (a *app) connections(ctx context.Context, edge string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	open, err := c.Connections(ctx, edge)
	if err != nil {
		return a.remoteError(err)
	}
	if a.json() {
		return a.printJSON(open)
	}
	if len(open) == 0 {
		a.printf("no connection is open\n")
		return nil
	}
	rows := [][]string{{"ID", "EDGE", "CLIENT", "UPSTREAM", "AGE", "IN", "OUT", "STATE", "FAULTS"}}
	for _, c := range open {
		rows = append(rows, []string{
			strconv.FormatUint(c.ID, 10), c.Edge, c.Client, orDash(c.Upstream), ageOf(c), volume(c.BytesIn), volume(c.BytesOut),
			c.State, orDash(strings.Join(c.Faults, ",")),
		})
	}
	columns(a.env.Stdout, rows)
	return nil
}

func (a *app) closeConnectionsCommand() *cobra.Command {
	var f closeFlags
	cmd := &cobra.Command{
		Use:   "close ID... | --all --edge EDGE",
		Short: "End connections, by a FIN or a reset",
		Long: `Ends connections by their ids, or all of an edge. Both sides see the end; what was on
its way is lost. Callers may connect again at once.`,
		Example: `  chaosctl connections close 17 21 --reset
  chaosctl connections close --all --edge 'api-service -> db-service'`,
		ValidArgsFunction: a.completeConnections,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := f.check(args)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.closeConnections(cmd.Context(), c, ids, &f)
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&f.reset, "reset", false, "by a reset (RST) instead of a FIN")
	fs.BoolVar(&f.all, "all", false, "all that are open on --edge")
	fs.StringVar(&f.edge, "edge", "", "with --all: the edge, `'caller -> callee'`")
	a.remote.register(cmd, "")
	_ = cmd.RegisterFlagCompletionFunc("edge", a.completeEdges)
	return cmd
}

type closeFlags struct {
	reset, all bool
	edge       string
}

// check reads the ids; none with --all.
func (f *closeFlags) check(args []string) ([]uint64, error) {
	const list = "`chaosctl connections` lists them"
	switch {
	case f.all && len(args) > 0:
		return nil, badInput("", "--all closes every connection of an edge; leave the ids out")
	case f.all && f.edge == "":
		return nil, badInput("for example: chaosctl connections close --all --edge 'api-service -> db-service'", "--all needs --edge: whose connections to close")
	case !f.all && f.edge != "":
		return nil, badInput("", "--edge goes with --all")
	case !f.all && len(args) == 0:
		return nil, badInput(list, "connections close needs the id of a connection, or --all --edge EDGE")
	}
	var ids []uint64
	for _, arg := range args {
		id, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, badInput(list, "the id of a connection is a number, not %q", arg)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// closeConnections closes what it is told to. With --all, a connection that has
// ended by itself meanwhile is no mistake.
func (a *app) closeConnections(ctx context.Context, c *client.Client, ids []uint64, f *closeFlags) error {
	if f.all {
		open, err := c.Connections(ctx, f.edge)
		if err != nil {
			return a.remoteError(err)
		}
		for _, conn := range open {
			ids = append(ids, conn.ID)
		}
	}
	closed := []experiment.Connection{}
	var failed error
	for _, id := range ids {
		conn, err := c.CloseConnection(ctx, id, f.reset)
		if e, ok := experiment.AsError(err); ok && f.all && e.Code == experiment.NotFound {
			continue
		}
		if err != nil {
			failed = a.remoteError(err)
			break
		}
		closed = append(closed, conn)
	}
	return errors.Join(a.printClosed(closed, f), failed)
}

func (a *app) printClosed(closed []experiment.Connection, f *closeFlags) error {
	if a.json() {
		return a.printJSON(closed)
	}
	done := "closed"
	if f.reset {
		done = "reset"
	}
	if f.all {
		a.printf("%s %s of %s\n", done, count(len(closed), "connection"), line(f.edge))
		return nil
	}
	for _, c := range closed {
		a.printf("%s %d: %s on %s, after %s\n", done, c.ID, c.Client, line(c.Edge), ageOf(c))
	}
	return nil
}

// completeConnections offers the ids that are open and not on the line yet.
func (a *app) completeConnections(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	open, err := c.Connections(ctx, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list []string
	for _, conn := range open {
		if id := strconv.FormatUint(conn.ID, 10); !slices.Contains(args, id) {
			list = append(list, cobra.CompletionWithDesc(id, conn.Client+" on "+conn.Edge))
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

func ageOf(c experiment.Connection) string { return short(time.Duration(c.Age * float64(time.Second))) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// volume writes a number of bytes for people.
func volume(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for ; value >= 999.95 && unit < 4; unit++ {
		value /= 1000
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTP"[unit])
}
