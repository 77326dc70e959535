package fault

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Kind is a kind of fault: the word, what it means, its params and where it can
// act. The catalogue of kinds feeds the CLI, the API, the schemas and the docs.
type Kind struct {
	// Name is family.word, for example net.latency. It never changes.
	Name string
	// Doc is one sentence; Details is more, for `chaosctl explain`.
	Doc, Details string
	// Example is one fault in YAML that decodes.
	Example string
	// Acts is what a target resolves to: edges, processes or names.
	Acts Acts
	// Grounds on which a driver of ours serves it.
	Grounds []string
	// Flags are the shorthand flags of `chaosctl inject fault`.
	Flags []Flag
	// HTTPOnly kinds need an edge that sees requests.
	HTTPOnly bool
	// BytesOnly kinds need an edge that passes bytes as they come (protocol: tcp):
	// what they change is not there on an edge that sees requests.
	BytesOnly bool
	// Datagrams: the kind acts on the datagrams of UDP edges, too. DatagramsOnly: on
	// nothing else.
	Datagrams, DatagramsOnly bool
	// Emulated says how edges other than UDP ones only imitate what happens, and why;
	// empty for kinds that do it for real.
	Emulated string
	// TLSOnly kinds need an edge that answers TLS handshakes itself.
	TLSOnly bool
	// WholeConnections: the kind acts on connections even where the edge sees
	// requests, so its `match` takes `client` alone.
	WholeConnections bool
	// NoShare: the kind acts on all or nothing, so it takes neither `share` nor
	// `maxActive`.
	NoShare bool
	// AllCallers: the kind acts before a caller is known, so it takes no `match`
	// at all.
	AllCallers bool
	// Severs: a unit that is hurt gets no answer at all, as far as a plan can tell.
	Severs bool
	// Irreversible kinds need an explicit permission.
	Irreversible bool

	defaults func() Params
}

// Acts says what kinds act on.
type Acts string

// What a kind can act on.
const (
	OnEdges     Acts = "edges"
	OnProcesses Acts = "processes"
	OnNames     Acts = "names" // that the topology's resolver answers
)

// Flag is a shorthand flag of `inject fault` that stands for a param.
type Flag struct {
	// Name on the command line, without dashes.
	Name string `json:"name"`
	// Param it sets; empty for a flag that only chooses the kind.
	Param string `json:"param,omitempty"`
	// Usage is the help text; Value is the placeholder shown in it.
	Usage string `json:"usage"`
	Value string `json:"value,omitempty"`
	// Chooses: giving the flag chooses the kind. Others only refine it.
	Chooses bool `json:"chooses,omitempty"`
}

// Directed is implemented by params that tell directions apart. Along returns
// the params for an edge whose caller stands on the target's From side
// (forward) or on its To side; nil if that edge is not touched.
type Directed interface {
	Along(forward bool) Params
}

// Shaped is implemented by params that choose what is cut by themselves.
type Shaped interface {
	// Cuts returns the directed pairs that are cut, nil if no shape is asked
	// for. Draws hang on the seed alone.
	Cuts(seed uint64) [][2]string
	// Members are the services named by the params, for checking against the
	// topology.
	Members() []string
	// Cut returns the params for an edge of which the requests, the responses or
	// both are cut.
	Cut(request, response bool) Params
}

// New returns fresh params with the kind's defaults.
func (k *Kind) New() Params { return k.defaults() }

// Family is the part of the name before the dot.
func (k *Kind) Family() string { f, _, _ := strings.Cut(k.Name, "."); return f }

// MatchesRequests tells whether `match` may choose among requests; on edges that
// see them.
func (k *Kind) MatchesRequests() bool {
	return k.Acts == OnEdges && !k.WholeConnections && !k.BytesOnly && !k.DatagramsOnly && !k.AllCallers
}

// MatchesClients tells whether `match` may choose by the caller's address.
func (k *Kind) MatchesClients() bool { return k.Acts == OnEdges && !k.AllCallers }

var catalogue = map[string]*Kind{}

// define registers a kind. It runs while package variables initialise, so a
// duplicate or an unreadable definition panics at start.
func define[P any, PP interface {
	*P
	Params
}](name, doc string, defaults P, example string, more Kind) *Kind {
	k := more
	k.Name, k.Doc, k.Example = name, doc, strings.TrimSpace(example)+"\n"
	k.defaults = func() Params {
		p := defaults
		return PP(&p)
	}
	if _, twice := catalogue[name]; twice {
		panic("fault: kind " + name + " is defined twice")
	}
	if !strings.Contains(name, ".") || doc == "" || k.Acts == "" || len(k.Grounds) == 0 {
		panic("fault: kind " + name + " lacks a family, doc, what it acts on or a ground")
	}
	catalogue[name] = &k
	return &k
}

// Kinds returns the catalogue, sorted by name.
func Kinds() []*Kind {
	all := make([]*Kind, 0, len(catalogue))
	for _, k := range catalogue {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *Kind) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Lookup finds a kind by name; the error suggests a near one.
func Lookup(name string) (*Kind, error) {
	if k, ok := catalogue[name]; ok {
		return k, nil
	}
	names := make([]string, 0, len(catalogue))
	for n := range catalogue {
		names = append(names, n)
	}
	return nil, fmt.Errorf("there is no kind %q%s", strict.Clip(name), strict.Suggest(name, names))
}

// Info returns the fault's kind, nil if it has none that exists.
func (f *Fault) Info() *Kind { return catalogue[f.Kind] }

// Title is the fault's name, else its kind.
func (f *Fault) Title() string {
	if f.Name != "" {
		return f.Name
	}
	return f.Kind
}

// DecodeNode decodes a fault strictly, with the params of its kind.
func (f *Fault) DecodeNode(n *strict.Node) {
	if !n.Fields(f, "params") && f.Kind == "" {
		return
	}
	if f.Kind == "" {
		n.Errorf("`kind` is missing; `chaosctl kinds` lists them")
		return
	}
	k, err := Lookup(f.Kind)
	if err != nil {
		n.Get("kind").Errorf("%s", err)
		return
	}
	params := k.New()
	if p := n.Get("params"); p == nil {
		if err := params.Validate(); err != nil {
			n.Check(prefixed("params", err))
		}
	} else if !p.Decode(params) {
		return
	}
	f.Params = params
}

// maxName is the length of the longest name of a fault, in bytes.
const maxName = 100

// Validate checks a whole fault: kind, params, target and which modifiers the
// kind takes.
func (f *Fault) Validate() error {
	k, err := Lookup(f.Kind)
	if err != nil {
		return strict.Fieldf("kind", "%s", err)
	}
	var errs []error
	if len(f.Name) > maxName || strings.ContainsFunc(f.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		errs = append(errs, strict.Fieldf("name", "must be one line of at most %d characters", maxName))
	}
	if f.Params == nil || reflect.TypeOf(f.Params) != reflect.TypeOf(k.New()) {
		errs = append(errs, strict.Fieldf("params", "are not those of %s", k.Name))
	}
	if s, ok := f.Params.(Shaped); ok && len(s.Members()) > 0 {
		if !f.Target.IsZero() {
			errs = append(errs, strict.Fieldf("target", "is given by `params.among` already; leave one of them out"))
		}
	} else if f.Target.IsZero() && !f.namesItself() {
		errs = append(errs, strict.Fieldf("target", "is missing; for example `target: {service: auth-service}`%s", orNames(k)))
	}
	if _, directed := f.Params.(Directed); !directed && len(f.Target.To) > 0 {
		errs = append(errs, strict.Fieldf("target.to", "is for kinds that cut between two sides; for %s give `service` (and `from`) or `edge`", k.Name))
	}
	switch {
	case f.Match == nil:
	case k.Acts == OnNames:
		errs = append(errs, strict.Fieldf("match", "does not go with %s, which sees queries; choose them by `params.names` and `params.types`", k.Name))
	case !k.MatchesClients() && k.AllCallers:
		errs = append(errs, strict.Fieldf("match", "does not go with %s, which acts before a caller is known", k.Name))
	case !k.MatchesClients(), f.Match.OnRequests() && k.WholeConnections:
		errs = append(errs, strict.Fieldf("match", "does not go with %s, which acts on whole %s%s", k.Name, unitWord(k), clientOnly(k)))
	case f.Match.OnRequests() && !k.MatchesRequests():
		errs = append(errs, strict.Fieldf("match", "does not go with %s, which acts on bytes and sees no requests%s", k.Name, clientOnly(k)))
	}
	errs = append(errs, f.checkModifiers(k)...)
	if f.MaxActive < 0 {
		errs = append(errs, strict.Fieldf("maxActive", "must be 1 or more, not %d", f.MaxActive))
	}
	return errors.Join(errs...)
}

// namesItself tells whether the params name what is hurt.
func (f *Fault) namesItself() bool {
	n, ok := f.Params.(Named)
	return ok && len(n.DNSNames()) > 0
}

// orNames says what goes in the place of a target.
func orNames(k *Kind) string {
	if k.Acts == OnNames {
		return ", or `params: {names: [auth.example.com]}`"
	}
	return ""
}

// clientOnly says what a kind that cannot choose among requests can choose by.
func clientOnly(k *Kind) string {
	if k.MatchesClients() {
		return "; only `client` does"
	}
	return ""
}

func unitWord(k *Kind) string {
	if k.Acts == OnProcesses {
		return "processes"
	}
	return "connections"
}

// UnmarshalJSON decodes strictly, as documents are. The placement, which
// documents may not set, is taken from journals and API answers.
func (f *Fault) UnmarshalJSON(b []byte) error {
	var at struct {
		At *Placed `json:"at"`
	}
	rest, err := splitAt(b, &at.At)
	if err != nil {
		return err
	}
	var fresh Fault
	if err := strict.Unmarshal("", rest, &fresh); err != nil {
		return err
	}
	fresh.At = at.At
	*f = fresh
	return nil
}

func prefixed(path string, err error) error {
	var errs []error
	for _, e := range unjoin(err) {
		var fe *strict.FieldError
		if errors.As(e, &fe) {
			p := path
			if fe.Path != "" {
				p += "." + fe.Path
			}
			errs = append(errs, strict.Fieldf(p, "%s", fe.Message))
			continue
		}
		errs = append(errs, strict.Fieldf(path, "%s", e))
	}
	return errors.Join(errs...)
}

func unjoin(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}
