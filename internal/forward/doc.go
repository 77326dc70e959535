// Package forward is the door for callers that can be pointed at a proxy but not
// at a relay: it answers HTTP proxy requests (HTTP_PROXY), CONNECT (HTTPS_PROXY)
// and SOCKS5 on one port, and makes an edge "FROM -> dependency-HOST" for each host
// that is called through it, on which faults act as on any other edge.
//
// It is no proxy for the world: it listens on loopback only, makes a bounded number
// of edges, and calls no link-local, multicast or metadata address, whatever a name
// resolves to at the moment of the call.
//
// A tunnel (CONNECT, SOCKS5) becomes the edge's own connection: resets, closes and
// addresses are as they would be without the proxy. Hosts to be intercepted get
// their TLS answered by chaosctl's own CA, so that requests are seen.
package forward
