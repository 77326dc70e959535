// Package traffic is the synthetic users of a run: it sends the requests of
// experiment.Flow and keeps what came of each.
//
// A Generator is open loop. One request of a flow is due in each interval of its
// rate, at a random instant that is fixed when the flow begins, whatever the service does; its latency counts from
// that intended start, so that a stall is felt by every request that should have
// been sent meanwhile (no coordinated omission). At most Flow.MaxInFlight
// requests are under way; one that is due while all of them are busy is never
// sent and fails as an overrun.
//
// A Recorder holds the requests of all flows of a run. What its figures mean:
//
//   - A request succeeds if a complete answer with a status below 400, or in
//     Flow.Status, was read within Flow.Timeout of the intended start.
//   - It belongs to the window (see Recorder.Mark) and to the second in which
//     its intended start lies, however late its answer comes.
//   - Its class is the status, or one of the classes of this package.
//   - Latencies run from the intended start, the generator's own lag included;
//     service times from the actual send. A timeout and an overrun count with
//     the flow's timeout.
//   - A failure never improves a percentile. Percentiles are taken over the
//     successes and the requests that got no answer in time; errors that came
//     quicker are added only where they raise the figure. A percentile q has no
//     data with fewer than 1/(1-q) successes and unanswered requests.
//   - Requests that an abort cut off count as never sent.
//
// The generator does not repeat requests. The one exception is a kept-alive
// connection that turns out closed before a byte of the request has left.
//
// Config.Observe is told of every request that counts, as an exchange: with its times,
// how it ended, and what its answer looks like (type, size, shape and a keyed hash of
// the body, and whether it declares itself degraded), but no value of it.
//
// What it is not: it sends no more than plain HTTP/1.1, follows no redirect,
// uses no proxy and keeps no cookie.
package traffic
