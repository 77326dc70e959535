// Package experiment holds the sentences of chaosctl: topologies, experiments
// and what a run of one leaves behind, as plain data. It parses and validates
// documents; it acts on nothing.
//
// Documents have the shape of Kubernetes objects and are decoded strictly:
// Parse finds every mistake of a file in one go, with line, column and path.
package experiment

import (
	"github.com/chaosctl/chaosctl/fault"
)

// APIVersion is that of all our documents.
const APIVersion = "chaosctl.dev/v1alpha1"

// Users is the reserved name of whoever calls from outside.
const Users = "users"

// Meta is the metadata of a document.
type Meta struct {
	// Name: lower case letters, digits, dots and dashes; at most 63 characters.
	Name        string            `json:"name" doc:"lower case letters, digits, dots and dashes"`
	Namespace   string            `json:"namespace,omitempty" doc:"Kubernetes namespace; ignored elsewhere"`
	Labels      map[string]string `json:"labels,omitempty" doc:"for Kubernetes; ignored elsewhere"`
	Annotations map[string]string `json:"annotations,omitempty" doc:"for Kubernetes; ignored elsewhere"`
}

// Topology says which services there are, who calls whom, and where.
type Topology struct {
	APIVersion string       `json:"apiVersion" doc:"chaosctl.dev/v1alpha1"`
	Kind       string       `json:"kind" doc:"Topology"`
	Metadata   Meta         `json:"metadata" doc:"the name, and what Kubernetes keeps about it"`
	Spec       TopologySpec `json:"spec" doc:"the topology itself"`
}

// TopologySpec is the content of a Topology.
type TopologySpec struct {
	// Environment: "production" needs an explicit permission on every run.
	Environment string             `json:"environment,omitempty" doc:"what this is, for example development or staging; production needs --allow-production on everything that hurts"`
	Services    map[string]Service `json:"services" doc:"everything that answers requests, by name"`
	Edges       []Edge             `json:"edges,omitempty" doc:"who calls whom"`
	Guard       Guard              `json:"guard,omitzero" doc:"what may not be hurt"`
}

// Protocol is how an edge reads its bytes.
type Protocol string

// The protocols so far.
const (
	TCP  Protocol = "tcp"
	HTTP Protocol = "http"
)

// Service is something that answers requests.
type Service struct {
	// Address of its one instance, host:port.
	Address string `json:"address,omitempty" doc:"where it listens, host:port"`
	// Protocol of the edges to it; tcp by default.
	Protocol Protocol `json:"protocol,omitempty" doc:"http makes its edges see requests; tcp (the default) sees bytes" enum:"http,tcp"`
	// Health is a path on Address that answers below 400 when all is well.
	Health string `json:"health,omitempty" doc:"a path that answers below 400 when all is well; checked before and after"`
	// At says where its process is.
	At *At `json:"at,omitempty" doc:"where its process is"`
	// Instances names several; Address and At are shorthand for one.
	Instances []Instance `json:"instances,omitempty" doc:"several of them; address and at are shorthand for one"`
	// Names are the DNS names it is called by.
	Names []string `json:"names,omitempty" doc:"the DNS names it is called by"`
}

// Instance is one of several of a service.
type Instance struct {
	Name    string `json:"name" doc:"tells it from the others"`
	Address string `json:"address,omitempty" doc:"where it listens, host:port"`
	At      *At    `json:"at,omitempty" doc:"where its process is"`
}

// At says where a process is.
type At struct {
	PID int `json:"pid,omitempty" doc:"process id"`
}

// All returns the instances; the shorthand counts as one without a name.
func (s Service) All() []Instance {
	if len(s.Instances) > 0 {
		return s.Instances
	}
	return []Instance{{Address: s.Address, At: s.At}}
}

// Edge is one service calling another.
type Edge struct {
	From string `json:"from" doc:"the caller: a service, or users"`
	To   string `json:"to" doc:"the callee: a service"`
	// Listen is the address of the relay that the caller is configured to call.
	Listen string `json:"listen,omitempty" doc:"where the relay of this edge listens, host:port; the caller is configured to call it"`
	// Protocol overrides that of the callee.
	Protocol Protocol `json:"protocol,omitempty" doc:"overrides the callee's protocol" enum:"http,tcp"`
	// WhenDown is what a caller sees of a callee that cannot be reached: reset (the
	// default) and close accept first; with refuse the relay refuses for as long as
	// the callee does. Edges with a relay that are tcp; http ones always reset.
	WhenDown WhenDown `json:"whenDown,omitempty" doc:"what the caller sees while the callee cannot be reached, on tcp edges: reset (accepted, then RST; the default), close (accepted, then FIN) or refuse (the relay refuses as long as the callee does)" enum:"reset,close,refuse"`
}

// whenDown is WhenDown with its default.
func (e Edge) whenDown() WhenDown {
	if e.WhenDown == "" {
		return DownReset
	}
	return e.WhenDown
}

// WhenDown is what a caller sees of a callee that cannot be reached.
type WhenDown string

// The ways, as package relay has them.
const (
	DownReset  WhenDown = "reset"
	DownClose  WhenDown = "close"
	DownRefuse WhenDown = "refuse"
)

// Name is "caller -> callee".
func (e Edge) Name() string { return fault.EdgeName(e.From, e.To) }

// Guard says what may not be hurt.
type Guard struct {
	// Protect lists routes no fault ever touches.
	Protect []Protected `json:"protect,omitempty" doc:"routes no fault ever touches"`
	// MaxEdges is how much of a service's edges may be hurt at the same time.
	MaxEdges fault.Share `json:"maxEdges,omitempty" doc:"how much of a service's edges may be hurt at the same time, for example 50%"`
	// MaxInstances is how much of a service's instances may be hurt at the same time.
	MaxInstances fault.Share `json:"maxInstances,omitempty" doc:"how much of a service's instances may be hurt at the same time, for example 50%"`
}

// Protected is a route no fault touches: a whole service, or some of its requests.
type Protected struct {
	Service string   `json:"service" doc:"the callee"`
	Path    string   `json:"path,omitempty" doc:"glob over the path: * stops at a slash, ** does not: /pay** covers /pay/x. However the path is spelled (/a/../pay, //pay, /p%61y), it is protected. Without path and method the whole service is"`
	Method  []string `json:"method,omitempty" doc:"methods in capitals; any by default"`
}
