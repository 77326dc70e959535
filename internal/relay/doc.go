// Package relay is the data plane: listeners that stand on the edges of a
// topology, between callers and callees, and hurt what passes on demand.
//
// A [Set] holds the edges. Each [Edge] passes bytes (TCP) or requests (HTTP/1.1)
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
//   - Memory is bounded: delayed bytes wait in a queue of at most 128 MiB
//     per direction, and of 64 KiB each once all queues together hold 512 MiB.
//   - Some descriptors stay free for the rest of the process: a tenth of what the
//     system allows, or 32. An edge that would need them accepts nothing more until
//     a connection ends; callers wait in the listener's queue.
//   - A caller that resets its connection is noticed at once (on Linux), also while
//     its bytes are held and while its callee is dialled. A dial lasts 30 seconds at
//     most. A caller that only closes while its bytes are held stays, since it may
//     wait for an answer yet.
//
// # What is not
//
//   - A caller of an HTTP edge that closes its sending side counts as gone, as with
//     most HTTP proxies: its exchange ends.
//   - Exchanges under way when an effect is armed are not hurt by it, except by
//     effects that hold bytes.
package relay
