package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// tone is how something is meant: it picks colours and shapes, never the only
// sign of a result.
type tone string

const (
	toneGood tone = "good"
	toneBad  tone = "bad"
	toneWarn tone = "warn" // unknown
	toneStop tone = "stop" // aborted
	toneNone tone = "none"
)

// noData is what stands where nothing was measured.
const noData = "no data"

// verdictWord is the verdict in one word, as all formats say it.
func verdictWord(v *experiment.Verdict) (string, tone) {
	if v == nil {
		return "NO VERDICT", toneWarn
	}
	switch v.Outcome {
	case experiment.Passed:
		return "PASS", toneGood
	case experiment.Failed:
		return "FAIL", toneBad
	case experiment.Inconclusive:
		return "INCONCLUSIVE", toneWarn
	case experiment.Aborted:
		return "ABORTED", toneStop
	}
	return "UNKNOWN", toneWarn
}

// reasons are why the verdict is what it is: at least one sentence.
func reasons(r *experiment.Run) []string {
	if r.Verdict == nil {
		stage := string(r.Stage)
		if stage == "" {
			stage = "unknown"
		}
		return []string{"The run has not been judged; the record was taken in stage " + stage + "."}
	}
	if len(r.Verdict.Reasons) == 0 {
		return []string{"The record gives no reason."}
	}
	return r.Verdict.Reasons
}

// remarks are what a reader should know besides the reasons: first why the run
// is not whole.
func remarks(r *experiment.Run) []string {
	var all []string
	for _, s := range r.Incomplete {
		if !slices.Contains(reasons(r), s) {
			all = append(all, s)
		}
	}
	return append(all, r.Notes...)
}

// gateWord and probeWord are results in words.
func gateWord(r experiment.Result) (string, tone) { return resultWord(r, "held", "broken") }

func probeWord(r experiment.Result) (string, tone) { return resultWord(r, "passed", "failed") }

func recoveryWord(rec *experiment.RecoveryResult) (string, tone) {
	bad := "did not recover"
	if rec.Took != nil {
		bad = "too late"
	}
	return resultWord(rec.Result, "recovered", bad)
}

func resultWord(r experiment.Result, good, bad string) (string, tone) {
	switch r {
	case experiment.Pass:
		return good, toneGood
	case experiment.Fail:
		return bad, toneBad
	}
	return noData, toneWarn
}

// value is what was measured, or that nothing was.
func value(s string) string {
	if strings.TrimSpace(s) == "" {
		return noData
	}
	return s
}

// sentence gives a text a capital and a full stop.
func sentence(s string) string { return stopped(capital(strings.TrimSpace(s))) }

// stopped gives a text a full stop. Its first word may be a name, so it stays as it is.
func stopped(s string) string {
	s = strings.TrimSpace(s)
	if s != "" && !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// dur writes a duration with three digits that count, in the spelling that
// documents use: 412ms, 3.12s, 1m30s.
func dur(d time.Duration) string {
	neg := ""
	if d < 0 {
		if d == math.MinInt64 {
			d++
		}
		neg, d = "-", -d
	}
	switch {
	case d == 0:
		return "0s"
	case d < time.Microsecond:
		return neg + strconv.FormatInt(int64(d), 10) + "ns"
	case d < 999500*time.Nanosecond:
		return neg + digits(float64(d)/1e3) + "µs"
	case d < 999500*time.Microsecond:
		return neg + digits(float64(d)/1e6) + "ms"
	case d < 59950*time.Millisecond:
		return neg + digits(d.Seconds()) + "s"
	case d < 24*time.Hour:
		s := d.Round(time.Second).String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return neg + s
	}
	hours := int64(d.Round(time.Hour) / time.Hour)
	if hours%24 == 0 {
		return fmt.Sprintf("%s%dd", neg, hours/24)
	}
	return fmt.Sprintf("%s%dd%dh", neg, hours/24, hours%24)
}

// about writes a duration with two digits that count, for what is spread anyway.
func about(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 100 || d/unit <= -100 {
		unit *= 10
	}
	return dur(d.Round(unit))
}

// digits writes a positive number with three digits that count.
func digits(v float64) string {
	decimals := 2
	switch {
	case v >= 99.95:
		decimals = 0
	case v >= 9.995:
		decimals = 1
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// millis is a figure of a series, in milliseconds, as a duration. What is no
// finite number of at least zero is no data.
func millis(ms float64) string {
	if !(ms > 0) || ms > 1e12 {
		return noData
	}
	return dur(time.Duration(ms * float64(time.Millisecond)))
}

// latency is a percentile; a flow without a request has none.
func latency(d fault.Duration, requests uint64) string {
	if requests == 0 {
		return noData
	}
	return dur(d.Std())
}

// percent writes a share in [0, 1]. It never rounds to 0% or 100% what is not.
func percent(part, whole uint64) string {
	if whole == 0 {
		return noData
	}
	if part >= whole {
		return "100%"
	}
	if part == 0 {
		return "0%"
	}
	p := 100 * float64(part) / float64(whole)
	for decimals := 1; decimals <= 6; decimals++ {
		s := strconv.FormatFloat(p, 'f', decimals, 64)
		if v, err := strconv.ParseFloat(s, 64); err == nil && v > 0 && v < 100 {
			return strings.TrimSuffix(s, ".0") + "%"
		}
	}
	if p > 50 {
		return "just under 100%"
	}
	return "just over 0%"
}

// count writes a number with commas between thousands.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural is a count with its noun; nouns take an s, those in ry an ies.
func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "ss") {
		return count(n) + " " + noun + "es"
	}
	if stem, ok := strings.CutSuffix(noun, "ry"); ok {
		return count(n) + " " + stem + "ries"
	}
	return count(n) + " " + noun + "s"
}

// clip shortens a text to n characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if r := []rune(s); len(r) > n {
		return string(r[:max(n-1, 0)]) + "…"
	}
	return s
}

// clean makes one line of printable text of anything: control characters and
// what reorders text (they could forge a line or a colour) become spaces or go.
func clean(s string) string {
	if strings.IndexFunc(s, special) < 0 {
		return s
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case special(r):
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

func special(r rune) bool {
	return unicode.IsControl(r) || r == unicode.ReplacementChar || r == '\u2028' || r == '\u2029' ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\ufffe' || r == '\uffff'
}

// elapsed is how long a run took; 0 if it has not ended.
func elapsed(r *experiment.Run) time.Duration {
	if r.Ended.IsZero() || r.Started.IsZero() || !r.Ended.After(r.Started) {
		return 0
	}
	return r.Ended.Sub(r.Started)
}

// window names a stage with its step.
func window(stage experiment.Stage, step string) string {
	return experiment.Window{Stage: stage, Step: step}.Title()
}

// repeatCommand is the command that runs the same experiment with the same draws.
func repeatCommand(r *experiment.Run) string {
	return fmt.Sprintf("chaosctl run FILE --set spec.seed=%d", r.Seed)
}

// abortedApart tells whether why a run was aborted is to be said beside its
// reasons, which say it as a rule.
func abortedApart(r *experiment.Run) bool {
	return r.Aborted != "" && !strings.Contains(strings.Join(reasons(r), "\n"), r.Aborted)
}

// receiptState is what is known of one fault that was put in force. A fault
// that hit nothing proves nothing.
func receiptState(i experiment.Injection, a experiment.Armed) (string, tone) {
	switch {
	case i.State == experiment.Stuck:
		return "stuck", toneBad
	case a.Receipt.Injected == 0 && i.ReceiptOf(a.Fault.Title()).Injected > 0:
		return "nothing here", toneNone // it hit elsewhere
	case a.Receipt.Injected == 0:
		return "hit nothing", toneWarn
	case i.State == experiment.InForce:
		return "in force", toneWarn
	case i.State == experiment.Lifted, i.State == experiment.Expired:
		return string(i.State), toneGood
	}
	return "unknown", toneWarn
}

// recoverySentence says what happened after the lift.
func recoverySentence(rec *experiment.RecoveryResult) string {
	if rec == nil {
		return "The run had no recovery stage."
	}
	if rec.Why != "" {
		return rec.Why
	}
	if rec.Took != nil {
		return fmt.Sprintf("All gates held again %s after the lift; %s were allowed.", dur(rec.Took.Std()), dur(rec.Within.Std()))
	}
	if rec.Result == experiment.Fail {
		return fmt.Sprintf("The gates did not hold again within %s of the lift.", dur(rec.Within.Std()))
	}
	return "It is not known whether the gates held again."
}

// took is the time to recover in words.
func took(rec *experiment.RecoveryResult) string {
	switch {
	case rec == nil:
		return noData
	case rec.Took != nil:
		return dur(rec.Took.Std())
	case rec.Result == experiment.Fail:
		return "not in time"
	}
	return noData
}
