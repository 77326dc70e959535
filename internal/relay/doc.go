// Package relay is the data plane: listeners that stand on the edges of a
// topology, between callers and callees, and hurt what passes on demand.
//
// A [Set] holds the edges. Each [Edge] passes bytes (TCP), datagrams (UDP) or requests (HTTP/1.1)
// to its callee unchanged, until an effect is armed on it:
//
//	set := relay.NewSet(relay.Options{})
//	err := set.Open(ctx, relay.Spec{From: "api", To: "auth", Protocol: experiment.TCP,
//		Listen: "127.0.0.1:19001", Upstreams: []string{"127.0.0.1:9001"}})
//	edge, _ := set.Edge("api -> auth")
//	err = edge.Arm(relay.Armed{ID: "f-1", Name: "slow", Effect: effect})
//	err = edge.Lift("f-1")
//
// The package knows no kind of fault by name: an effect opts in to what it does
// through the small interfaces beside [Effect].
//
// # What is promised
//
//   - Arm returns once the effect is in force, also on what is open already; Lift
//     returns once it is gone: no unit will be hurt any more, receipts are final,
//     and held bytes are free to go.
//   - The control side (Arm, Lift, Status) never waits for the data side: peers
//     that never read, never answer or never accept do not slow it down.
//   - Arming and lifting under load loses, doubles and reorders no byte, unless an
//     effect is there to do that.
//   - Half-close and RST reach the other side as they came. A callee that refuses
//     is seen by the caller as a reset: the relay has accepted already, and adds
//     no answer of its own, on HTTP edges neither.
//   - With TLS on both sides a caller is given the version and the protocol (ALPN) that
//     the callee has chosen of what the caller offers. A callee that cannot be verified
//     is seen as one that is down.
//   - Memory is bounded: delayed bytes wait in a queue of at most 128 MiB
//     per direction, and of 64 KiB each once all queues together hold 512 MiB.
//   - Some descriptors stay free for the rest of the process: a tenth of what the
//     system allows, or 32. An edge that would need them accepts nothing more until
//     a connection ends; callers wait in the listener's queue.
//   - A caller that resets its connection is noticed at once (on Linux), also while
//     its bytes are held and while its callee is dialled. A dial lasts 30 seconds at
//     most. A caller that only closes while its bytes are held stays, since it may
//     wait for an answer yet.
//   - On UDP edges each caller's address has a session, with a socket of its own to the
//     callee, until it was idle for long enough; there are at most 16384, and where
//     there is no room the idlest makes some. Datagrams that no effect delays leave in
//     the order in which they came. Those that wait share one queue per edge, of 128
//     MiB at most; what does not fit is lost, and counted (EdgeStatus.Dropped).
//
// # What is not
//
//   - A caller of an HTTP edge that closes its sending side counts as gone, as with
//     most HTTP proxies: its exchange ends.
//   - Exchanges under way when an effect is armed are not hurt by it, except by
//     effects that hold bytes.
//   - UDP edges pass what datagrams hold, not what their headers say (TTL, ECN, how they
//     were fragmented), and no ICMP: that a callee cannot be reached is counted
//     (EdgeStatus.Unreachable), and its callers hear nothing.
package relay
