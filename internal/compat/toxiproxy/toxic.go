package toxiproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/chaosctl/chaosctl/fault"
)

// Bounds of what is given by name or in lists.
const (
	maxName    = 1024 // bytes
	maxClients = 100
	maxToxics  = 1000 // of a proxy
)

// toxic is one toxic as it is. It never changes: an update makes another.
type toxic struct {
	name, typeName string
	stream         string // as it was given
	toxicity       float64
	values         []value
	clients        []string
	// injection in force for it; empty if there is none: its proxy is disabled, or
	// its toxicity is 0.
	injection string
	// number of its first arming, if it has one already (see Door.seed).
	number uint64
	json   []byte
}

// ToxicWrapper is a toxic as a client sends it.
type ToxicWrapper struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Stream     *string         `json:"stream"`
	Toxicity   json.RawMessage `json:"toxicity"`
	Attributes json.RawMessage `json:"attributes"`
	Client     []string        `json:"client"`
}

// newToxic checks in the order in which the original does; taken tells whether a
// name is.
func newToxic(in *ToxicWrapper, taken func(name string) bool) (*toxic, error) {
	x := &toxic{name: in.Name, typeName: in.Type, stream: "downstream", toxicity: 1, clients: in.Client}
	if in.Stream != nil {
		x.stream = *in.Stream
	}
	if _, err := x.direction(); err != nil {
		return nil, err
	}
	if x.name == "" {
		x.name = x.typeName + "_" + x.stream
	}
	kind := types[x.typeName]
	if kind == nil {
		return nil, errInvalidType
	}
	if taken(x.name) {
		return nil, errToxicExists
	}
	var err error
	if x.values, err = set(kind.attributes, nil, in.Attributes); err != nil {
		return nil, badBody(err)
	}
	if x.toxicity, err = toxicity(in.Toxicity, x.toxicity); err != nil {
		return nil, badBody(err)
	}
	return x, x.check()
}

// updated is the toxic with what an update says of its attributes and toxicity.
func (x *toxic) updated(attributes, share json.RawMessage) (*toxic, error) {
	fresh := *x
	var err error
	if fresh.values, err = set(x.kind().attributes, x.values, attributes); err != nil {
		return nil, badBody(err)
	}
	if fresh.toxicity, err = toxicity(share, x.toxicity); err != nil {
		return nil, badBody(err)
	}
	return &fresh, fresh.check()
}

func (x *toxic) kind() *toxicType { return types[x.typeName] }

// direction is the toxic's stream in our words.
func (x *toxic) direction() (fault.Direction, error) {
	switch strings.ToLower(x.stream) {
	case "upstream":
		return fault.Request, nil
	case "downstream":
		return fault.Response, nil
	case "both":
		return fault.Both, nil
	}
	return "", errInvalidStream
}

// check refuses what does not go together, and writes the toxic down as answers
// show it.
func (x *toxic) check() error {
	kind := x.kind()
	if len(x.name) > maxName {
		return badBodyf("name must be at most %d bytes long, not %d", maxName, len(x.name))
	}
	if kind.check != nil {
		if err := kind.check(x.values); err != nil {
			return badBody(err)
		}
	}
	if kind.undivided && x.toxicity != 0 && x.toxicity != 1 {
		return badBodyf("toxicity must be 0 or 1 for %s, which acts on all connections or none, not %g", x.typeName, x.toxicity)
	}
	if x.clients != nil && len(x.clients) == 0 {
		return badBodyf("client must name an address or a network, or be left out: an empty list would be everybody")
	}
	if kind.undivided && len(x.clients) > 0 {
		return badBodyf("client does not go with %s, which acts before a client is known", x.typeName)
	}
	if len(x.clients) > maxClients {
		return badBodyf("client must name at most %d addresses, not %d", maxClients, len(x.clients))
	}
	f := x.fault("")
	if f.Match != nil {
		if err := f.Match.Validate(); err != nil {
			return badBodyf("%s", oneLine(err))
		}
	}
	if err := f.Params.Validate(); err != nil {
		return badBodyf("attributes: %s", oneLine(err))
	}
	x.write()
	return nil
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func (x *toxic) write() {
	b := append(make([]byte, 0, 160), `{"attributes":`...)
	b = write(b, x.kind().attributes, x.values)
	b = appendQuoted(append(b, `,"name":`...), x.name)
	b = appendQuoted(append(b, `,"type":`...), x.typeName)
	b = appendQuoted(append(b, `,"stream":`...), x.stream)
	b = appendFloat(append(b, `,"toxicity":`...), x.toxicity, 32)
	if len(x.clients) > 0 {
		list, err := json.Marshal(x.clients)
		if err == nil { // texts can always be encoded
			b = append(append(b, `,"client":`...), list...)
		}
	}
	x.json = append(b, '}')
}

// fault is the toxic in our words, placed on the edge of a proxy.
func (x *toxic) fault(proxy string) fault.Fault {
	d, _ := x.direction() // checked when it was made
	k, params := x.kind().fault(x.values, d)
	f := fault.Fault{
		Name: faultName(x.name), Kind: k.Name, Params: params,
		Target: fault.Target{Edge: shownEdge(proxy)}, At: &fault.Placed{Relay: &fault.RelayEdge{From: caller, To: proxy}},
	}
	if x.toxicity < 1 {
		f.Share = fault.Share(x.toxicity)
	}
	if len(x.clients) > 0 {
		f.Match = &fault.Match{Client: x.clients}
	}
	return f
}

// maxFaultName is the length of the longest name that a fault may have.
const maxFaultName = 100

// faultName is a toxic's name as far as a fault may bear it.
func faultName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if len(s) > maxFaultName {
		s = strings.ToValidUTF8(s[:maxFaultName], "")
	}
	return s
}

// shownEdge names a proxy's edge, in a form that can be read back.
func shownEdge(proxy string) string {
	name := fault.EdgeName(caller, proxy)
	if _, _, ok := fault.SplitEdge(name); !ok {
		return fault.EdgeName(caller, "?")
	}
	return name
}

// readToxics reads a list of toxics that comes with a proxy; all must be good.
func readToxics(raw json.RawMessage) ([]*toxic, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var inputs []ToxicWrapper
	if err := json.Unmarshal(raw, &inputs); err != nil {
		return nil, badBodyf("toxics: %s", aToxic.misfit(err))
	}
	if len(inputs) > maxToxics {
		return nil, badBodyf("toxics must be at most %d, not %d", maxToxics, len(inputs))
	}
	var list []*toxic
	for i := range inputs {
		x, err := newToxic(&inputs[i], func(name string) bool { return find(list, name) >= 0 })
		if err != nil {
			var r *refusal
			if errors.As(err, &r) {
				err = &refusal{fmt.Sprintf("%s (toxics[%d])", r.message, i), r.status}
			}
			return nil, err
		}
		list = append(list, x)
	}
	return list, nil
}

// find is the place of a toxic in a list, -1 if there is none of that name.
func find(list []*toxic, name string) int {
	return slices.IndexFunc(list, func(x *toxic) bool { return x.name == name })
}

// listed are toxics in the order of answers: those of the stream upstream, then
// downstream, then both; in each as the chain has them.
func listed(list []*toxic) []*toxic {
	all := make([]*toxic, 0, len(list))
	for _, want := range []fault.Direction{fault.Request, fault.Response, fault.Both} {
		for _, x := range list {
			if d, _ := x.direction(); d == want {
				all = append(all, x)
			}
		}
	}
	return all
}

// toxicsJSON is the list as answers show it.
func toxicsJSON(b []byte, list []*toxic) []byte { return appendToxics(b, listed(list)) }

func appendToxics(b []byte, list []*toxic) []byte {
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, x.json...)
	}
	return append(b, ']')
}

// tooMany refuses one toxic more than a proxy may have.
func tooMany(list []*toxic) error {
	if len(list) < maxToxics {
		return nil
	}
	return &refusal{fmt.Sprintf("a proxy has at most %d toxics", maxToxics), http.StatusConflict}
}
