// Package toxiproxy is Toxiproxy's HTTP API in front of our engine, so that the
// clients that speak to Toxiproxy speak to us and notice nothing but that it is
// faster, does not hang, does not crash and tells them more.
//
// A proxy is an edge `toxiproxy -> NAME`; a toxic is a fault on it, without a
// lease, that belongs to the owner `toxiproxy`. Names, milliseconds, defaults and
// permissiveness stay in here: the engine is told of edges and faults, and keeps
// the effects. This package keeps the names, and which faults it has asked for.
//
// What is promised: routes, codes, headers and bodies are those of the original,
// and docs/toxiproxy.md lists every difference. A request that is refused has
// changed nothing. No request waits for data, or for a request about another
// proxy; GET waits for nothing. What is lifted by others (`chaosctl lift`, `halt`)
// is gone from the answers. With a state file, what was answered is on the disk
// soon (see SaveWithin), and is there again after a restart.
//
// Requests from web pages (Origin, Mozilla/, a foreign Host) are refused: the API has no other
// protection, as the original has none.
package toxiproxy
