package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/fault"
)

func (a *app) injectPartitionCommand() *cobra.Command {
	var (
		common                 injectFlags
		from, to, among        []string
		direction, mode, shape string
	)
	cmd := &cobra.Command{
		Use:   "partition --from A[,B] --to C[,D]",
		Short: "Cut the network between services",
		Long: `Cuts every edge between two sets of services, whoever calls; or, with --shape,
between the sides that a shape chooses among the members.`,
		Example: `  chaosctl inject partition --from=api-service --to=db-service
  chaosctl inject partition --from api --to db --mode reject --for 30s
  chaosctl inject partition --shape halves --among a,b,c,d`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, to, among := names(from), names(to), names(among)
			switch {
			case shape != "" && len(from)+len(to) > 0:
				return badInput("", "--shape chooses the sides among --among; leave --from and --to out")
			case shape != "" && len(among) == 0:
				return badInput("", "--shape %s needs its members: --among A,B,C", shape)
			case shape == "" && len(among) > 0:
				return badInput("", "--among goes with --shape")
			case shape == "" && len(from) == 0:
				return badInput("for example: chaosctl inject partition --from=api-service --to=db-service", "--from is missing: the services on one side of the cut")
			case shape == "" && len(to) == 0:
				return badInput("for example: chaosctl inject partition --from=api-service --to=db-service", "--to is missing: the services on the other side of the cut")
			}
			d := draft{kind: fault.NetPartition, params: map[string]any{}, origin: map[string]string{}}
			for name, v := range map[string]string{"direction": direction, "mode": mode, "shape": shape} {
				if v != "" {
					d.set(name, v, "--"+name)
				}
			}
			if len(among) > 0 {
				d.set("among", among, "--among")
			}
			d.fields = map[string]any{}
			if len(from) > 0 {
				d.fields["target"] = map[string]any{"from": from, "to": to}
			}
			f, err := d.decode()
			if err != nil {
				return err
			}
			return a.inject(cmd.Context(), common.request(a, f))
		},
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&from, "from", nil, "the `services` on one side")
	fs.StringSliceVar(&to, "to", nil, "the `services` on the other side")
	fs.StringVar(&direction, "direction", "", "which bytes are stopped, seen from --from: both (default), to or from")
	fs.StringVar(&mode, "mode", "", "drop (default) holds the bytes, reject refuses connections")
	fs.StringVar(&shape, "shape", "", "choose the sides among the members: one, halves, random-halves, bridge, majority-ring or one-way")
	fs.StringSliceVar(&among, "among", nil, "the `services` a shape is made of")
	once(fs)
	common.register(cmd)
	a.remote.register(cmd, "")
	_ = cmd.RegisterFlagCompletionFunc("from", a.completeServices(true))
	_ = cmd.RegisterFlagCompletionFunc("to", a.completeServices(false))
	_ = cmd.RegisterFlagCompletionFunc("among", a.completeServices(false))
	_ = cmd.RegisterFlagCompletionFunc("direction", fixed("both", "to", "from"))
	_ = cmd.RegisterFlagCompletionFunc("mode", fixed("drop", "reject"))
	_ = cmd.RegisterFlagCompletionFunc("shape", fixed(fault.Shapes...))
	return cmd
}

// partitionWords are the flags of `inject partition` that say f, if it can.
func partitionWords(f fault.Fault) ([]string, bool) {
	if f.Kind != fault.NetPartition.Name || len(f.Target.To) == 0 {
		return nil, false
	}
	return []string{"partition", "--from", strings.Join(f.Target.From, ","), "--to", strings.Join(f.Target.To, ",")}, true
}
