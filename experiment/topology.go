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
	// Resolver answers DNS queries in the place of the system's resolver.
	Resolver *Resolver `json:"resolver,omitempty" doc:"a DNS resolver that callers are pointed at, for dns faults"`
	// Proxy makes an edge for each host that is called through it.
	Proxy *Proxy `json:"proxy,omitempty" doc:"a forward proxy (HTTP_PROXY, HTTPS_PROXY, SOCKS5) that makes an edge dependency-HOST for each host called through it"`
	Guard Guard  `json:"guard,omitzero" doc:"what may not be hurt"`
}

// Protocol is how an edge reads its bytes.
type Protocol string

// The protocols so far.
const (
	TCP  Protocol = "tcp"
	HTTP Protocol = "http"
	// UDP edges pass datagrams.
	UDP Protocol = "udp"
	// Auto tells by the first bytes of each connection: HTTP/1, HTTP/2 or, by
	// default, bytes.
	Auto Protocol = "auto"
)

// SeesRequests tells whether edges of a protocol see requests, on all of their
// connections or on some.
func (p Protocol) SeesRequests() bool { return p == HTTP || p == Auto }

// Service is something that answers requests.
type Service struct {
	// Address of its one instance, host:port.
	Address string `json:"address,omitempty" doc:"where it listens, host:port"`
	// Protocol of the edges to it; tcp by default.
	Protocol Protocol `json:"protocol,omitempty" doc:"http (HTTP/1.1, h2, gRPC) makes its edges see requests; tcp (the default) sees bytes; udp passes datagrams; auto tells http from bytes by the first bytes of each connection" enum:"http,tcp,udp,auto"`
	// Health is a path on Address that answers below 400 when all is well.
	Health string `json:"health,omitempty" doc:"a path that answers below 400 when all is well; checked before and after"`
	// At says where its process is.
	At *At `json:"at,omitempty" doc:"where its process is"`
	// Instances names several; Address and At are shorthand for one.
	Instances []Instance `json:"instances,omitempty" doc:"several of them; address and at are shorthand for one"`
	// TLS: the service is called by TLS; nil is plain.
	TLS *ServiceTLS `json:"tls,omitempty" doc:"how the service is called by TLS; leave it out for plain, {} verifies with the system's roots"`
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
	Protocol Protocol `json:"protocol,omitempty" doc:"overrides the callee's protocol" enum:"http,tcp,udp,auto"`
	// WhenDown is what a caller sees of a callee that cannot be reached: reset (the
	// default) and close accept first; with refuse the relay refuses for as long as
	// the callee does. Edges with a relay that are tcp; http ones always reset.
	WhenDown WhenDown `json:"whenDown,omitempty" doc:"what the caller sees while the callee cannot be reached, on tcp edges: reset (accepted, then RST; the default), close (accepted, then FIN) or refuse (the relay refuses as long as the callee does)" enum:"reset,close,refuse"`
	// Idle is how long a caller's session lasts without a datagram, on udp edges with a
	// relay; 0 stands for 60s.
	Idle fault.Duration `json:"idle,omitempty" doc:"udp edges: how long a caller's session lasts without a datagram, from 100ms to 24h; 60s by default" strict:"positive"`
	// TLS is how the relay answers callers that speak TLS; nil takes them as they
	// come: bytes on tcp edges, plain HTTP on http edges.
	TLS *EdgeTLS `json:"tls,omitempty" doc:"how the relay answers callers by TLS; leave it out for callers that come in plain, or for tcp edges that pass TLS through"`
	// SNI: callers of these names alone are meant. Several edges may then share a
	// listen; TLS is passed through.
	SNI []string `json:"sni,omitempty" doc:"take the TLS connections for these server names (*.example.com is a pattern), so that several edges share one listen; TLS is passed through"`
	// ClientFaults: callers may ask for faults by request header; nil ignores them.
	ClientFaults *ClientFaults `json:"clientFaults,omitempty" doc:"lets callers ask for faults by request headers (X-Chaos-*, x-envoy-fault-*), within limits"`
}

// EdgeTLS is the relay's side of TLS towards callers.
type EdgeTLS struct {
	// Names are the names that certificates are made for when a caller names none
	// (no SNI); the callee's names by default.
	Names []string `json:"names,omitempty" doc:"names for the certificate when the caller gives none by SNI; the callee's names, or localhost, by default"`
}

// ServiceTLS is how a service is called by TLS.
type ServiceTLS struct {
	// ServerName is sent by SNI and verified; the caller's own SNI, else the host
	// of the address, by default.
	ServerName string `json:"serverName,omitempty" doc:"the name sent by SNI and verified; what the caller sent, else the address's host, by default"`
	// CA is what the certificate is verified with: PEM, or file:PATH, which the
	// command line reads; the system's roots by default.
	CA string `json:"ca,omitempty" doc:"certificates to verify with, PEM or file:PATH; the system's by default"`
	// Certificate and Key are shown when the service asks for one (mTLS).
	Certificate string `json:"certificate,omitempty" doc:"client certificate for mTLS, PEM or file:PATH"`
	Key         string `json:"key,omitempty" doc:"its key, PEM, file:PATH or ${env:NAME}" env:"expanded"`
	// Insecure does not verify at all.
	Insecure bool `json:"insecure,omitempty" doc:"do not verify the service's certificate"`
}

// ClientFaults are the limits of faults that callers ask for.
type ClientFaults struct {
	// Allow lists what may be asked for: delay, status, abort, grpc-status; empty
	// is refused.
	Allow []string `json:"allow" doc:"what callers may ask for: delay, status, abort, grpc-status"`
	// MaxDelay caps a delay; 10s by default.
	MaxDelay fault.Duration `json:"maxDelay,omitempty" doc:"longer delays are cut to this; 10s by default" strict:"positive"`
	// MaxShare caps how much of the edge's requests is hurt so; all by default.
	MaxShare fault.Share `json:"maxShare,omitempty" doc:"at most this part of the edge's requests is hurt so, for example 10%; all by default"`
}

// Resolver is the topology's DNS resolver.
type Resolver struct {
	// Listen is where it answers, UDP and TCP, host:port.
	Listen string `json:"listen" doc:"where it answers by UDP and TCP, host:port; point the callers' resolv.conf or DNS setting at it"`
	// Upstreams answer in truth: host:port (UDP, TCP when truncated), tls://host:port
	// (DoT) or https://host/path (DoH); the system's resolvers by default.
	Upstreams []string `json:"upstreams,omitempty" doc:"who answers in truth: host:port, tls://host:port (DoT) or https://host/dns-query (DoH); the system's resolvers by default"`
	// CA verifies DoT and DoH upstreams: PEM, or file:PATH; the system's by default.
	CA string `json:"ca,omitempty" doc:"certificates to verify DoT and DoH upstreams with, PEM or file:PATH; the system's by default"`
}

// Proxy is a forward proxy: HTTP with CONNECT, and SOCKS5, on one port.
type Proxy struct {
	// Listen is where it answers, on loopback only, host:port.
	Listen string `json:"listen" doc:"where it answers HTTP proxy requests, CONNECT and SOCKS5; loopback only, host:port"`
	// From is the service that calls through it.
	From string `json:"from" doc:"the service that calls through it: its edges are from here"`
	// Intercept are hosts whose TLS is terminated with chaosctl's CA, so that their
	// requests are seen; patterns such as *.example.com; none by default.
	Intercept []string `json:"intercept,omitempty" doc:"hosts whose TLS is answered with chaosctl's own CA, so that requests are seen; patterns such as *.example.com, or * for all; none by default"`
	// Hosts have their edges from the start, so that faults can name them before
	// they are called: names or addresses, with a port; 443 by default.
	Hosts []string `json:"hosts,omitempty" doc:"hosts whose edges are there from the start, HOST or HOST:PORT (443 by default), so that faults can name dependency-HOST before it is called; link-local and metadata addresses are never called"`
	// MaxHosts bounds the edges it makes; 100 by default.
	MaxHosts int `json:"maxHosts,omitempty" doc:"edges it makes at most; 100 by default" strict:"positive"`
	// CA verifies the hosts that are intercepted: PEM, or file:PATH; the system's by default.
	CA string `json:"ca,omitempty" doc:"certificates to verify intercepted hosts with, PEM or file:PATH; the system's by default"`
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
