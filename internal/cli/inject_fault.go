package cli

import (
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chaosctl/chaosctl/fault"
)

// faultFlags are the flags of `inject fault` that say what and where; those of
// the kinds are generated from the catalogue.
type faultFlags struct {
	target    string
	from      []string
	edge      string
	kind      string
	params    []string
	share     string
	maxActive int
	path      string
	methods   []string
	headers   []string
	queries   []string
	grpc      string
	clients   []string
	attempts  string
	pulse     pulseFlag
	after     string
	calls     int
}

func (a *app) injectFaultCommand() *cobra.Command {
	var (
		common injectFlags
		f      faultFlags
	)
	cmd := &cobra.Command{
		Use:   "fault --target SERVICE --latency D | --status N | --reset | --kind K ...",
		Short: "Hurt the edges to a service, or its processes",
		Long: `Puts one or more faults in force, under one id and one lease. Flags that choose
a kind combine; --share, --path and the like narrow all of them. Any kind can be
given with --kind and --param; ` + "`chaosctl explain KIND`" + ` lists its params.`,
		Example: `  chaosctl inject fault --target=auth-service --latency=500ms
  chaosctl inject fault --target auth-service --status 503 --share 20% --path '/login*' --for 1m
  chaosctl inject fault --edge 'api-service -> db-service' --kind net.kill --param every=5s --share 0.25`,
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			faults, notes, err := f.faults(cmd.Flags())
			if err != nil {
				return err
			}
			for _, n := range notes {
				a.say("note: %s", n)
			}
			return a.inject(cmd.Context(), common.request(a, faults...))
		},
	}
	cmd.Flags().SortFlags = false
	f.register(cmd.Flags())
	common.register(cmd)
	a.remote.register(cmd, "")
	_ = cmd.RegisterFlagCompletionFunc("target", a.completeServices(false))
	_ = cmd.RegisterFlagCompletionFunc("from", a.completeServices(true))
	_ = cmd.RegisterFlagCompletionFunc("edge", a.completeEdges)
	_ = cmd.RegisterFlagCompletionFunc("after", a.completeEdges)
	_ = cmd.RegisterFlagCompletionFunc("attempts", fixed("1", "1-2", "2-"))
	_ = cmd.RegisterFlagCompletionFunc("pulse", fixed("5s/10s"))
	_ = cmd.RegisterFlagCompletionFunc("kind", completeKinds)
	_ = cmd.RegisterFlagCompletionFunc("param", completeParams)
	completeEnumerations(cmd)
	_ = cmd.RegisterFlagCompletionFunc("method", fixed("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
	return cmd
}

// completeEnumerations offers the values of flags that stand for params with few.
func completeEnumerations(cmd *cobra.Command) {
	for _, k := range fault.Kinds() {
		for _, p := range k.Describe().Params {
			for _, s := range k.Flags {
				if s.Param == p.Name && len(p.Values) > 0 {
					_ = cmd.RegisterFlagCompletionFunc(s.Name, fixed(p.Values...))
				}
			}
		}
	}
}

// register adds the flags: ours, and those that the kinds declare.
func (f *faultFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.target, "target", "", "the `service` to hurt, on every edge to it or in its processes")
	fs.StringSliceVar(&f.from, "from", nil, "only on the edges from these `services`")
	fs.StringVar(&f.edge, "edge", "", "one edge instead: `'caller -> callee'`")
	for _, k := range fault.Kinds() {
		for _, s := range k.Flags {
			if s.Value == "" {
				fs.Bool(s.Name, false, s.Usage)
			} else {
				fs.Var(&textFlag{word: s.Value}, s.Name, s.Usage)
			}
		}
	}
	fs.StringVar(&f.kind, "kind", "", "a `kind` of fault by its name; see chaosctl kinds")
	fs.StringArrayVar(&f.params, "param", nil, "a param of the kind, `name=value`; repeatable")
	fs.StringVar(&f.share, "share", "", "hurt only this `share`, 0.2 or 20%")
	fs.IntVar(&f.maxActive, "max-active", 0, "hurt at most `N` at the same time")
	fs.StringVar(&f.path, "path", "", "only requests whose path fits this `glob`, /users/* (or ~regexp)")
	fs.StringSliceVar(&f.methods, "method", nil, "only requests with this `method`")
	fs.StringArrayVar(&f.headers, "header", nil, "only requests with this header, `name=glob`; repeatable")
	fs.StringArrayVar(&f.queries, "query", nil, "only requests with this query parameter, `name=glob`; repeatable")
	fs.StringVar(&f.grpc, "grpc", "", "only gRPC calls of this `service/method`, both globs: 'shop.Auth/*'")
	fs.StringSliceVar(&f.clients, "client", nil, "only callers with these `addresses`, 10.0.0.7 or 10.0.0.0/8")
	fs.StringVar(&f.attempts, "attempts", "", "hurt only these `tries` of each call: 1, 1-2, 3- or 2,4-5")
	fs.Var(&f.pulse, "pulse", "come and go: `ON/OFF` such as 5s/10s; 5s/10s/2s waits 2s first")
	fs.StringVar(&f.after, "after", "", "sleep until this `edge`, 'caller -> callee', was called")
	fs.IntVar(&f.calls, "after-calls", 0, "with --after: until it was called `N` times")
	once(fs)
}

// faults turns the flags into faults; notes say which modifier does not go with
// which of them.
func (f *faultFlags) faults(fs *pflag.FlagSet) (faults []fault.Fault, notes []string, err error) {
	drafts, err := f.drafts(fs)
	if err != nil {
		return nil, nil, err
	}
	if err := f.place(drafts); err != nil {
		return nil, nil, err
	}
	if notes, err = f.narrow(fs, drafts); err != nil {
		return nil, nil, err
	}
	var problems []error
	for _, d := range drafts {
		one, err := d.decode()
		if err != nil {
			problems = append(problems, err)
		}
		faults = append(faults, one)
	}
	return faults, notes, merge(problems)
}

// drafts makes one draft for each kind that was chosen, with its params.
func (f *faultFlags) drafts(fs *pflag.FlagSet) ([]*draft, error) {
	var drafts []*draft
	get := func(k *fault.Kind) *draft {
		for _, d := range drafts {
			if d.kind == k {
				return d
			}
		}
		d := &draft{kind: k, params: map[string]any{}, fields: map[string]any{}, origin: map[string]string{}}
		drafts = append(drafts, d)
		return d
	}
	if f.kind != "" {
		k, err := fault.Lookup(f.kind)
		if err != nil {
			return nil, badInput("`chaosctl kinds` lists them", "--kind: %s", err)
		}
		get(k)
	}
	given := func(s fault.Flag) bool {
		flag := fs.Lookup(s.Name)
		return flag.Changed && (s.Value != "" || flag.Value.String() == "true")
	}
	for _, k := range fault.Kinds() {
		for _, s := range k.Flags {
			if s.Chooses && given(s) {
				get(k)
			}
		}
	}
	if len(drafts) == 0 {
		return nil, badInput("for example --latency 500ms, --status 503, or --kind with a name from `chaosctl kinds`", "nothing chooses a fault")
	}
	for _, k := range fault.Kinds() {
		for _, s := range k.Flags {
			if !given(s) {
				continue
			}
			if !slices.ContainsFunc(drafts, func(d *draft) bool { return d.kind == k }) {
				return nil, badInput("add "+choosers(k), "--%s refines %s, which is not chosen", s.Name, k.Name)
			}
			if s.Param != "" {
				if s.Value == "" {
					get(k).set(s.Param, true, "--"+s.Name)
				} else {
					get(k).setText(s.Param, fs.Lookup(s.Name).Value.String(), "--"+s.Name)
				}
			}
		}
	}
	return drafts, f.giveParams(drafts)
}

// choosers says how a kind can be chosen.
func choosers(k *fault.Kind) string {
	words := []string{"--kind " + k.Name}
	for _, s := range k.Flags {
		if s.Chooses {
			words = append([]string{"--" + s.Name}, words...)
		}
	}
	return strings.Join(words, " or ")
}

// giveParams hands --param to the kind of --kind, or to the only one.
func (f *faultFlags) giveParams(drafts []*draft) error {
	if len(f.params) == 0 {
		return nil
	}
	if f.kind == "" && len(drafts) > 1 {
		return badInput("say which with --kind", "--param is ambiguous: several kinds are chosen")
	}
	for _, p := range f.params { // with --kind, that draft is the first
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return badInput("", "--param must be name=value, not %q", p)
		}
		flag := "--param " + name
		if other, taken := drafts[0].taken(name); taken && other == flag {
			return badInput("leave one out", "%s is given twice", flag)
		} else if taken {
			return badInput("leave one out", "%s and %s say the same param of %s", other, flag, drafts[0].kind.Name)
		}
		drafts[0].setText(name, value, flag)
	}
	return nil
}

// place sets the target of every draft.
func (f *faultFlags) place(drafts []*draft) error {
	from := names(f.from)
	target := map[string]any{}
	switch {
	case f.edge != "" && (f.target != "" || len(from) > 0):
		return badInput("", "--edge stands alone; leave out --target and --from")
	case f.edge != "":
		target["edge"] = f.edge
	case f.target != "":
		target["service"] = f.target
		if len(from) > 0 {
			target["from"] = from
		}
	case len(from) > 0:
		return badInput("", "--from narrows --target, which is missing")
	}
	for _, d := range drafts {
		if len(target) > 0 {
			d.fields["target"] = target
		} else if !d.placesItself() {
			hint := "for example --target auth-service, or --edge 'api-service -> auth-service'"
			if d.kind.Acts == fault.OnNames {
				hint = "for example --target auth-service, or --param names=auth.example.com"
			}
			return badInput(hint, "--target is missing: the service to hurt")
		}
	}
	return nil
}

// narrow gives the modifiers to the drafts that take them.
func (f *faultFlags) narrow(fs *pflag.FlagSet, drafts []*draft) (notes []string, err error) {
	match := map[string]any{}
	if f.path != "" {
		match["path"] = f.path
	}
	if m := names(f.methods); len(m) > 0 {
		match["method"] = upper(m)
	}
	for _, list := range []struct {
		name  string
		pairs []string
		same  func(string) string
	}{{"header", f.headers, http.CanonicalHeaderKey}, {"query", f.queries, func(s string) string { return s }}} {
		fields, err := pairs(list.name, list.pairs, list.same)
		if err != nil {
			return nil, err
		}
		if len(fields) > 0 {
			match[list.name] = fields
		}
	}
	if f.grpc != "" {
		service, method, _ := strings.Cut(f.grpc, "/")
		match["grpc"] = map[string]any{"service": service, "method": method}
	}
	give := func(flag, field string, value any, takes func(*fault.Kind) bool, why func(*fault.Kind) string) error {
		var not []string
		var kinds []*fault.Kind
		for _, d := range drafts {
			if takes(d.kind) {
				d.give(flag, field, value)
			} else {
				not, kinds = append(not, d.kind.Name), append(kinds, d.kind)
			}
		}
		if len(not) == len(drafts) {
			return badInput("leave it out", "--%s does not go with %s, %s", flag, strings.Join(not, " and "), why(kinds[0]))
		}
		for _, k := range kinds {
			notes = append(notes, "--"+flag+" does not narrow "+k.Name+", "+why(k))
		}
		return nil
	}
	hurts := func(what string) func(*fault.Kind) string {
		return func(*fault.Kind) string { return "which hurts " + what }
	}
	divisible := func(k *fault.Kind) bool { return !k.NoShare }
	var errs []error
	for _, flag := range []string{"path", "method", "header", "query", "grpc"} {
		if fs.Changed(flag) && len(match) > 0 {
			errs = append(errs, give(flag, "match", match, (*fault.Kind).MatchesRequests, hurts("whole connections, processes or names")))
		}
	}
	if c := names(f.clients); len(c) > 0 {
		errs = append(errs, give("client", "match", map[string]any{"client": c}, (*fault.Kind).MatchesClients, hurts("all callers alike")))
	}
	if fs.Changed("share") {
		errs = append(errs, give("share", "share", f.share, divisible, hurts("all or nothing")))
	}
	if fs.Changed("max-active") {
		if f.maxActive < 1 {
			return nil, badInput("", "--max-active must be 1 or more, not %d", f.maxActive)
		}
		errs = append(errs, give("max-active", "maxActive", f.maxActive, divisible, hurts("all or nothing")))
	}
	return notes, merge(append(errs, f.time(fs, give)...))
}

// time gives the modifiers that say when the drafts hurt.
func (f *faultFlags) time(fs *pflag.FlagSet, give func(flag, field string, value any, takes func(*fault.Kind) bool, why func(*fault.Kind) string) error) (errs []error) {
	for _, m := range fault.Modifiers() {
		switch {
		case m.Name == "attempts" && fs.Changed("attempts"):
			errs = append(errs, give("attempts", m.Name, f.attempts, m.Takes, m.Why))
		case m.Name == "pulse" && fs.Changed("pulse"):
			errs = append(errs, give("pulse", m.Name, f.pulse.parts, m.Takes, m.Why))
		case m.Name == "after" && fs.Changed("after"):
			after := map[string]any{"edge": f.after}
			if fs.Changed("after-calls") {
				after["calls"] = f.calls
			}
			errs = append(errs, give("after", m.Name, after, m.Takes, m.Why))
		}
	}
	if fs.Changed("after-calls") && !fs.Changed("after") {
		errs = append(errs, badInput("add --after 'caller -> callee'", "--after-calls says how often the edge of --after must be called"))
	}
	return errs
}

// pairs reads the values of a flag that are name=glob, each name once; same
// gives two names that mean the same one form.
func pairs(flag string, values []string, same func(string) string) (map[string]string, error) {
	fields, seen := map[string]string{}, map[string]string{}
	for _, p := range values {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, badInput("", "--%s must be name=glob, not %q", flag, p)
		}
		if other, twice := seen[same(k)]; twice {
			return nil, badInput("leave one out", "--%s %s and --%s %s are about the same name; one glob must say it", flag, other, flag, p)
		}
		fields[k], seen[same(k)] = v, p
	}
	return fields, nil
}

func upper(words []string) []string {
	for i, w := range words {
		words[i] = strings.ToUpper(w)
	}
	return words
}
