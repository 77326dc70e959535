// Package dns is a resolver that lies on request, and the driver that makes it
// lie. It is for callers that are pointed at it in the place of their resolver.
//
// Unhurt, it passes queries to upstreams and their answers back, byte for byte:
// it keeps nothing, completes nothing and adds nothing. A query that a fault hits
// is delayed, swallowed or answered here; answers of ours say so in an extended
// error (RFC 8914) where the caller speaks EDNS.
//
// What it does not do: zone transfers, updates and other opcodes are refused;
// it validates no DNSSEC, and signs nothing.
//
// There is one file per kind. It says with serve what a query meets; nothing else
// has to be edited to add one. All changes are volatile: they die with the
// process that holds the resolver.
package dns
