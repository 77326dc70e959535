package experiment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// Input is an experiment document and what it may refer to.
type Input struct {
	// File names the document in messages; topologies are found beside it.
	File string
	// Data is the document, YAML or JSON. It may hold topologies, too.
	Data []byte
	// Read reads the file of a topologyRef, whose path is already joined to the
	// folder of File. Nil refuses such references: a server opens no path that a
	// document names.
	Read func(path string) ([]byte, error)
	// TopologyFile and TopologyData are a topology document that answers
	// topologyRef, empty if there is none.
	TopologyFile string
	TopologyData []byte
	// Server is the topology a server already serves, nil without one.
	Server *Topology
	// Set are changes of values, path=value; see `run --set`.
	Set []string
}

// Loaded is an experiment that is ready to run.
type Loaded struct {
	// Experiment, with defaults filled in: every flow, gate, probe, step, fault
	// and rule is complete; only the seed may be absent.
	Experiment *Experiment
	// Topology it runs on: the server's, if there is one.
	Topology *Topology
	// TopologyText is the topology document as it was read, nil if the
	// experiment's own file holds it or the server has it.
	TopologyText []byte
}

// Load reads an experiment with the topology it refers to, checks each by
// itself and one against the other, and fills in defaults. The error is
// Problems: every mistake of all documents involved, in their order.
func Load(in Input) (*Loaded, error) {
	docs, err := strict.Parse(in.File, in.Data)
	if err != nil {
		return nil, err
	}
	l := &loading{in: in}
	if err := l.sort(docs); err != nil {
		return nil, err
	}
	for _, set := range in.Set {
		path, value, ok := strings.Cut(set, "=")
		if !ok {
			l.problems = append(l.problems, Problem{File: "--set " + strict.Clip(set), Message: "must be path=value, for example spec.seed=7"})
			continue
		}
		var ps Problems
		if errors.As(l.doc.Set(path, value), &ps) {
			l.problems = append(l.problems, ps...)
		}
	}
	root, e := l.doc.Root(), &Experiment{}
	root.Decode(e)
	for _, d := range l.beside {
		t := &Topology{}
		d.Root().Decode(t)
		l.tops = append(l.tops, t)
	}
	var top *Topology
	if spec := root.Get("spec"); spec != nil && spec.IsMap() {
		top = l.topology(spec, e)
		if top != nil && top.Spec.Services != nil {
			spec.CheckRest(e.Spec.checkAgainst(&top.Spec, func(path string) bool {
				n := spec.At(path)
				return n != nil && n.OK()
			}))
		}
	}
	if ps := l.all(docs); len(ps) > 0 {
		return nil, ps
	}
	e.Spec.fillIn()
	return &Loaded{Experiment: e, Topology: top, TopologyText: l.text}, nil
}

// loading is an experiment on its way.
type loading struct {
	in       Input
	doc      *strict.Document   // the experiment
	beside   []*strict.Document // the topologies in the same file
	tops     []*Topology        // the same, decoded
	text     []byte             // of a topology of another file
	problems Problems           // of command line and of other files
}

// sort finds the experiment among the documents of the file.
func (l *loading) sort(docs []*strict.Document) error {
	for _, d := range docs {
		switch {
		case kindOf(d) == KindTopology:
			l.beside = append(l.beside, d)
		case l.doc != nil:
			d.Root().Errorf("is one experiment more; a file holds one")
			return d.Problems()
		default:
			l.doc = d
		}
	}
	switch {
	case l.doc != nil:
		return nil
	case len(l.beside) > 0:
		l.beside[0].Root().Get("kind").Errorf("this is a Topology; an Experiment is expected here")
		return l.beside[0].Problems()
	}
	return Problems{{File: l.in.File, Message: "is empty; a document with `kind: Experiment` is expected"}}
}

// all is every mistake: of the command line, of this file, of other files.
func (l *loading) all(docs []*strict.Document) Problems {
	var set, other, all Problems
	for _, p := range l.problems {
		if strings.HasPrefix(p.File, "--set ") {
			set = append(set, p)
			continue
		}
		other = append(other, p)
	}
	all = append(all, set...)
	for _, d := range docs {
		all = append(all, d.Problems()...)
	}
	return append(all, other...)
}

// topology finds the topology of an experiment; nil, with the problem reported,
// if there is none that is good.
func (l *loading) topology(spec *strict.Node, e *Experiment) *Topology {
	ref, inline := spec.Get("topologyRef"), spec.Get("topology")
	var own *Topology
	var where *strict.Node
	switch {
	case inline != nil:
		if e.Spec.Topology == nil {
			return nil
		}
		own, where = &Topology{APIVersion: APIVersion, Kind: KindTopology, Metadata: Meta{Name: e.Metadata.Name}, Spec: *e.Spec.Topology}, inline
		if ref != nil {
			return own
		}
	case ref != nil:
		if e.Spec.TopologyRef == "" {
			return nil
		}
		if own = l.referred(ref, e.Spec.TopologyRef); own == nil {
			return nil
		}
		where = ref
	case len(l.tops) == 1:
		own, where = l.tops[0], spec
	case len(l.in.TopologyData) > 0:
		own, where = l.parse(l.in.TopologyFile, l.in.TopologyData), spec
	case l.in.Server != nil:
		return l.in.Server
	case len(l.tops) > 1:
		spec.CheckRest(strict.Fieldf("topologyRef", "is missing; it must name one of the topologies of this file"))
	default:
		spec.CheckRest(strict.Fieldf("topologyRef", "is missing; name a topology's file, or write the topology itself under `topology`"))
	}
	if own == nil || l.in.Server == nil || own == l.in.Server {
		return own
	}
	if inline == nil && own.Metadata.Name != l.in.Server.Metadata.Name {
		where.Errorf("is the topology `%s`; the server serves `%s`: run without a server, or against one that serves this topology", own.Metadata.Name, l.in.Server.Metadata.Name)
		return nil
	}
	if diff := sameTopology(&own.Spec, &l.in.Server.Spec); diff != "" {
		where.Errorf("is not the topology that the server serves: %s; leave the topology out to use the server's", diff)
		return nil
	}
	return l.in.Server
}

// referred follows a topologyRef.
func (l *loading) referred(n *strict.Node, ref string) *Topology {
	for _, t := range l.tops {
		if t.Metadata.Name == ref {
			return t
		}
	}
	if len(l.in.TopologyData) > 0 {
		return l.parse(l.in.TopologyFile, l.in.TopologyData)
	}
	if l.in.Server != nil && l.in.Server.Metadata.Name == ref {
		return l.in.Server
	}
	var names []string
	for _, t := range l.tops {
		names = append(names, t.Metadata.Name)
	}
	if l.in.Server != nil {
		names = append(names, l.in.Server.Metadata.Name)
	}
	if l.in.Read == nil {
		n.Errorf("there is no topology %q here, and no file that a document names is opened%s", strict.Clip(ref), strict.Suggest(ref, names))
		return nil
	}
	path := ref
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(l.in.File), ref)
	}
	data, err := l.in.Read(path)
	if err != nil {
		reason := err.Error()
		var pe *fs.PathError
		if errors.As(err, &pe) {
			reason = pe.Err.Error()
		}
		n.Errorf("cannot read %s: %s%s", path, reason, strict.Suggest(ref, names))
		return nil
	}
	return l.parse(path, data)
}

// parse reads a topology of another file and keeps its problems.
func (l *loading) parse(file string, data []byte) *Topology {
	t, err := ParseTopology(file, data)
	if err != nil {
		var ps Problems
		if !errors.As(err, &ps) {
			ps = Problems{{File: file, Message: err.Error()}}
		}
		l.problems = append(l.problems, ps...)
		return nil
	}
	l.text = data
	return t
}

// fillIn gives everything that was left out its default.
func (s *Spec) fillIn() {
	orElse(&s.Steady.For, fault.Duration(DefaultSteady))
	orElse(&s.Recovery.Within, fault.Duration(DefaultWithin))
	orElse(&s.Recovery.Hold, fault.Duration(DefaultHold))
	for i := range s.Traffic {
		f := &s.Traffic[i]
		orElse(&f.Timeout, fault.Duration(DefaultTimeout))
		orElse(&f.MaxInFlight, DefaultInFlight)
		if f.HTTP != nil {
			orElse(&f.HTTP.Method, "GET")
		}
	}
	for i := range s.Gates {
		if g := &s.Gates[i]; len(g.During) == 0 {
			g.During = []Stage{StageSteady, StageHurt, StageRecovery}
		}
	}
	for i := range s.Probes {
		p := &s.Probes[i]
		orElse(&p.Mode, Continuous)
		orElse(&p.Every, fault.Duration(DefaultProbeEvery))
		orElse(&p.Timeout, fault.Duration(DefaultProbeTime))
		if p.HTTP != nil {
			orElse(&p.HTTP.Method, "GET")
		}
	}
	for i := range s.Abort {
		orElse(&s.Abort[i].For, fault.Duration(DefaultAbortWindow))
	}
	s.nameAll()
}

// orElse sets what is zero.
func orElse[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// nameAll names the steps and faults that have no name: by their number, and by
// their kind.
func (s *Spec) nameAll() {
	steps, faults := map[string]bool{}, map[string]bool{}
	for _, step := range s.Steps {
		steps[step.Name] = true
		for _, f := range step.Faults {
			faults[f.Name] = true
		}
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		if step.Name == "" {
			step.Name = free(steps, fmt.Sprintf("step %d", i+1))
		}
		for j := range step.Faults {
			if f := &step.Faults[j]; f.Name == "" {
				f.Name = free(faults, f.Kind)
			}
		}
	}
}

// free is the name, with a number behind it if it is taken, and takes it.
func free(taken map[string]bool, name string) string {
	candidate := name
	for n := 2; taken[candidate]; n++ {
		candidate = fmt.Sprintf("%s-%d", name, n)
	}
	taken[candidate] = true
	return candidate
}
