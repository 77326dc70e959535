package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// outage: what happens in an outage?
type outage struct {
	answer
	Hurt     []hurtRow // some of them
	More     int
	Recovery *recoveryView
}

type recoveryView struct {
	chip
	Took, Within, Hold, Why string
	Share                   string // of the deadline, in percent, at most 100
	Parts                   []partRow
}

// hurtRow is one fault that was in force, with its receipt.
type hurtRow struct {
	Fault, Kind, Where, Touches, Undo, Params string
	Matched, Injected, Skipped, Unit          string
	Sentence                                  string
	State                                     chip
	ID, Since, Problem                        string
}

// partRow is one thing that had to come back, and when it did.
type partRow struct {
	What, Of, Took, Why string
	chip
}

func outageOf(r *experiment.Run, hurt []hurtRow) outage {
	const most = 4
	o := outage{answer: outageAnswer(r), Hurt: hurt[:min(len(hurt), most)], Recovery: recoveryOf(r.Recovery)}
	o.More = len(hurt) - len(o.Hurt)
	if o.Recovery != nil && strings.Contains(strings.ToLower(strings.Join(reasons(r), "\n")), strings.ToLower(o.Recovery.Why)) {
		o.Recovery.Why = "" // the verdict says it
	}
	return o
}

// outageAnswer says how the system came back.
func outageAnswer(r *experiment.Run) answer {
	if hit, _ := receipts(r); hit == 0 {
		return answer{"Not tested.", "Nothing was hurt.", toneWarn}
	}
	rec := r.Recovery
	if rec == nil {
		return answer{"Not known.", "The run ended before it could be seen whether the system comes back.", toneWarn}
	}
	after := ""
	if rec.Took != nil {
		after = afterLift(rec.Took.Std())
	}
	switch rec.Shape {
	case experiment.RecoveryHealed:
		if after != "" {
			return answer{"It comes back by itself,", after + ".", toneGood}
		}
		return answer{"It comes back by itself.", "", toneGood}
	case experiment.RecoveryLate:
		if after != "" {
			return answer{"It comes back, but late:", after + "; " + dur(rec.Within.Std()) + " were allowed.", toneBad}
		}
		return answer{"It comes back, but late.", "", toneBad}
	case experiment.RecoveryBreakerOpen:
		return answer{"It does not come back.", "A circuit breaker stays open although the fault is over.", toneBad}
	case experiment.RecoveryRetryStorm:
		return answer{"It does not come back.", "Retries keep it overloaded although the fault is over (a retry storm).", toneBad}
	case experiment.RecoveryBroken:
		return answer{"It stays broken", "although the fault is over.", toneBad}
	}
	switch {
	case rec.Result == experiment.Pass && after != "":
		return answer{"It comes back by itself,", after + ".", toneGood}
	case rec.Result == experiment.Fail && after != "":
		return answer{"It comes back, but late:", after + "; " + dur(rec.Within.Std()) + " were allowed.", toneBad}
	case rec.Result == experiment.Fail:
		return answer{"It does not come back", "within the " + dur(rec.Within.Std()) + " that were allowed.", toneBad}
	}
	return answer{"Not known.", "It could not be seen whether the system comes back.", toneWarn}
}

// afterLift is a time after the lift, in words.
func afterLift(d time.Duration) string {
	if d <= 0 {
		return "as soon as the fault was lifted"
	}
	return dur(d) + " after the fault was lifted"
}

// partWords are what had to come back, in words.
func partWords(what string) string {
	switch what {
	case "gates":
		return "All gates hold again"
	case "breaker":
		return "Circuit breaker closed"
	case "attempts":
		return "No more retries than before"
	case "goodput":
		return "As many good answers as before"
	}
	return capital(what)
}

func partsOf(parts []experiment.RecoveryPart) []partRow {
	var rows []partRow
	for _, p := range parts {
		row := partRow{What: partWords(p.What), Of: p.Of, Why: p.Why, Took: noData}
		row.Word, row.Tone = resultWord(p.Result, "back", "not back")
		switch {
		case p.Took != nil:
			row.Took = dur(p.Took.Std())
			if *p.Took <= 0 {
				row.Took = "at once"
			}
			if p.Result == experiment.Fail {
				row.Word = "late"
			}
		case p.Result == experiment.Fail:
			row.Took = "never"
		}
		rows = append(rows, row)
	}
	return rows
}

func recoveryOf(rec *experiment.RecoveryResult) *recoveryView {
	if rec == nil {
		return nil
	}
	v := &recoveryView{Took: took(rec), Within: dur(rec.Within.Std()), Hold: dur(rec.Hold.Std()), Why: sentence(recoverySentence(rec)), Share: "0", Parts: partsOf(rec.Parts)}
	v.Word, v.Tone = recoveryWord(rec)
	switch {
	case rec.Took != nil && rec.Within > 0:
		v.Share = place(min(100*float64(*rec.Took)/float64(rec.Within), 100))
	case rec.Result == experiment.Fail:
		v.Share = "100"
	}
	return v
}

func hurtOf(r *experiment.Run, a timeAxis) []hurtRow {
	var rows []hurtRow
	for _, i := range r.Injections {
		for _, f := range i.Armed {
			row := hurtRow{Fault: f.Fault.Title(), Kind: f.Fault.Kind, Where: f.Where, Touches: f.Touches, Undo: f.Undo,
				Matched: count(f.Receipt.Matched), Injected: count(f.Receipt.Injected), Skipped: count(f.Receipt.Skipped),
				Unit: string(f.Receipt.Unit), ID: i.ID, Problem: i.Problem}
			if !i.Since.IsZero() {
				row.Since = dur(max(i.Since.Sub(a.from), 0).Round(100 * time.Millisecond))
			}
			row.State.Word, row.State.Tone = receiptState(i, f)
			row.Sentence = receiptSentence(f)
			rows = append(rows, row)
		}
	}
	return rows
}

func receiptSentence(f experiment.Armed) string {
	unit := string(f.Receipt.Unit)
	if unit == "" {
		unit = "unit"
	}
	if f.Receipt.Matched == 0 {
		return "hit nothing: no " + unit + " came by"
	}
	return fmt.Sprintf("hit %s of %s", count(f.Receipt.Injected), plural(f.Receipt.Matched, unit))
}
