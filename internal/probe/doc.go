// Package probe takes the measurements of a run and judges its gates. Results
// are three-valued: what was not measured is unknown, never a pass.
//
// # Gates
//
// Judge gives one result per figure of a gate, with one sentence that says why.
// Shares are compared exactly, not as rounded numbers, and values are printed
// with as many digits as it takes not to contradict the result.
//
// # Recovery
//
// The time to recover runs from the lift of the faults to the earliest instant
// from which every gate holds to the end of the stage, and at least for the time
// `hold`. A gate holds from an instant if its figures satisfy its rules over all
// requests with an intended start from then on. Instants are the lift and the
// intended starts. A percentile needs its 1/(1-q) samples over the stage as a
// whole, else recovery is unknown; over a shorter rest with fewer samples all of
// them must satisfy the rule. A request still under way counts as unanswered.
//
// # Abort rules
//
// An abort rule looks at the requests that were decided in its window (see
// traffic.Recorder.Decided), so that it trips at the end of the window when a
// service stops answering, without waiting for timeouts. It needs data as a gate
// does: one request for success, 1/(1-q) for a percentile.
//
// # Probes
//
// Take makes one measurement; a Runner takes all probes of an experiment in
// their modes. A measurement that fails is a failure; one that could not be made
// – a command that cannot be started, a Prometheus that is down or has no such
// number – is neither pass nor failure and leaves a probe unknown.
package probe
