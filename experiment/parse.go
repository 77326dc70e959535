package experiment

import (
	"errors"
	"fmt"
	"slices"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// The kinds of documents.
const (
	KindTopology   = "Topology"
	KindExperiment = "Experiment"
	KindRun        = "Run"
)

// ParseTopology reads a topology document; file names it in messages. A file
// may hold other documents beside the one topology. The error is Problems, with
// every mistake of the topology.
func ParseTopology(file string, data []byte) (*Topology, error) {
	docs, err := strict.Parse(file, data)
	if err != nil {
		return nil, err
	}
	var tops, others []*strict.Document
	for _, d := range docs {
		if kindOf(d) == KindExperiment {
			others = append(others, d)
			continue
		}
		tops = append(tops, d)
	}
	switch {
	case len(docs) == 0:
		return nil, Problems{{File: file, Message: "is empty; a document with `kind: Topology` is expected"}}
	case len(tops) == 0:
		others[0].Root().Get("kind").Errorf("this is an Experiment; a Topology is expected here")
		return nil, others[0].Problems()
	case len(tops) > 1:
		tops[1].Root().Errorf("is one topology more; one is expected here")
		return nil, tops[1].Problems()
	}
	t := &Topology{}
	if !tops[0].Root().Decode(t) {
		return nil, tops[0].Problems()
	}
	return t, nil
}

func kindOf(d *strict.Document) string {
	if k := d.Root().Get("kind"); k != nil {
		return k.Scalar()
	}
	return ""
}

// DecodeNode decodes strictly and checks the frame of the document.
func (t *Topology) DecodeNode(n *strict.Node) {
	n.Fields(t)
	n.CheckRest(checkFrame(n, KindTopology, t.APIVersion, t.Kind))
}

// DecodeNode decodes strictly and checks the frame of the document.
func (e *Experiment) DecodeNode(n *strict.Node) {
	n.Fields(e)
	n.CheckRest(checkFrame(n, KindExperiment, e.APIVersion, e.Kind))
}

// checkFrame checks what stands around the spec.
func checkFrame(n *strict.Node, want, version, kind string) error {
	if !n.IsMap() {
		return nil
	}
	var errs []error
	switch version {
	case APIVersion:
	case "":
		errs = append(errs, strict.Fieldf("apiVersion", "is missing; write `apiVersion: %s`", APIVersion))
	default:
		errs = append(errs, strict.Fieldf("apiVersion", "must be %s, not %q", APIVersion, strict.Clip(version)))
	}
	switch kind {
	case want:
	case "":
		errs = append(errs, strict.Fieldf("kind", "is missing; write `kind: %s`", want))
	case KindTopology, KindExperiment, KindRun:
		errs = append(errs, strict.Fieldf("kind", "this is a %s; a %s is expected here", kind, want))
	default:
		errs = append(errs, strict.Fieldf("kind", "there is no kind %q%s", strict.Clip(kind), strict.Suggest(kind, []string{KindTopology, KindExperiment})))
	}
	if n.Get("metadata") == nil {
		errs = append(errs, strict.Fieldf("metadata", "is missing; write `metadata: {name: a-name}`"))
	}
	if n.Get("spec") == nil {
		errs = append(errs, strict.Fieldf("spec", "is missing"))
	}
	return errors.Join(errs...)
}

// sameTopology says how a topology differs from the one that a server serves,
// "" if it does not: services with their addresses, and edges with their relays.
func sameTopology(doc, served *TopologySpec) string {
	served = served.withoutHosts(doc)
	for _, name := range doc.names() {
		mine := doc.Services[name]
		its, ok := served.Services[name]
		switch {
		case !ok:
			return fmt.Sprintf("the server has no service `%s`", name)
		case fmt.Sprint(mine.addresses()) != fmt.Sprint(its.addresses()):
			return fmt.Sprintf("the server has `%s` at another address", name)
		}
	}
	for _, name := range served.names() {
		if _, ok := doc.Services[name]; !ok {
			return fmt.Sprintf("the server has a service `%s`, too", name)
		}
	}
	for _, e := range doc.Edges {
		its, ok := (&Topology{Spec: *served}).Edge(e.Name())
		switch {
		case !ok:
			return "the server has no edge " + e.Name()
		case its.Listen != e.Listen:
			return fmt.Sprintf("the server has the relay of %s at another address", e.Name())
		case served.EdgeProtocol(its) != doc.EdgeProtocol(e):
			return fmt.Sprintf("the server has %s as %s", e.Name(), served.EdgeProtocol(its))
		case (its.TLS == nil) != (e.TLS == nil):
			return fmt.Sprintf("of the document and the server, one answers the callers of %s by TLS (`tls`) and the other does not", e.Name())
		case !slices.Equal(its.SNI, e.SNI):
			return fmt.Sprintf("the server has %s with other names (`sni`)", e.Name())
		case its.whenDown() != e.whenDown():
			return fmt.Sprintf("the server has %s with whenDown: %s", e.Name(), its.whenDown())
		}
	}
	if len(doc.Edges) != len(served.Edges) {
		return "the server has other edges, too"
	}
	if doc.Environment != served.Environment {
		return fmt.Sprintf("the server's environment is %s", served.Environment)
	}
	return ""
}
