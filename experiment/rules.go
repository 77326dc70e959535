package experiment

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// Op compares a figure with a bound.
type Op string

// holds tells whether the figure stands to the bound as the operator says.
func (o Op) holds(figure, bound float64) bool {
	switch o {
	case "<":
		return figure < bound
	case "<=":
		return figure <= bound
	case ">":
		return figure > bound
	case ">=":
		return figure >= bound
	case "==":
		return figure == bound
	case "!=":
		return figure != bound
	}
	return false
}

func splitRule(s string) (Op, string, bool) {
	s = strings.TrimSpace(s)
	for _, op := range []Op{"<=", ">=", "==", "!=", "<", ">"} {
		if rest, ok := strings.CutPrefix(s, string(op)); ok {
			return op, strings.TrimSpace(rest), true
		}
	}
	return "", s, false
}

// ShareRule is a rule on a share: ">= 99.5%".
type ShareRule struct {
	Op    Op
	Share float64 // in [0, 1]
}

// UnmarshalText reads an operator and a percentage.
func (r *ShareRule) UnmarshalText(b []byte) error {
	op, rest, ok := splitRule(string(b))
	num, percent := strings.CutSuffix(rest, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
	if percent {
		v /= 100
	}
	if !ok || err != nil || !(v >= 0 && v <= 1) || op == "==" || op == "!=" {
		return fmt.Errorf("must be a rule on a share such as \">= 99.5%%\" or \"< 50%%\", not %q", strict.Clip(string(b)))
	}
	*r = ShareRule{op, v}
	return nil
}

// MarshalText writes the rule.
func (r ShareRule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r ShareRule) String() string {
	return string(r.Op) + " " + strconv.FormatFloat(math.Round(r.Share*1e8)/1e6, 'f', -1, 64) + "%"
}

// Holds tells whether a share satisfies the rule.
func (r ShareRule) Holds(share float64) bool { return r.Op.holds(share, r.Share) }

// TimeRule is a rule on a duration: "<= 300ms".
type TimeRule struct {
	Op    Op
	Bound fault.Duration
}

// UnmarshalText reads an operator and a duration.
func (r *TimeRule) UnmarshalText(b []byte) error {
	op, rest, ok := splitRule(string(b))
	var d fault.Duration
	err := d.UnmarshalText([]byte(rest))
	if !ok || op == "==" || op == "!=" {
		return fmt.Errorf("must be a rule on a duration such as \"<= 300ms\", not %q", strict.Clip(string(b)))
	}
	if err != nil {
		return err
	}
	*r = TimeRule{op, d}
	return nil
}

// MarshalText writes the rule.
func (r TimeRule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r TimeRule) String() string { return string(r.Op) + " " + r.Bound.String() }

// Holds tells whether a duration satisfies the rule.
func (r TimeRule) Holds(d time.Duration) bool { return r.Op.holds(float64(d), float64(r.Bound)) }

// NumberRule is a rule on a number: "< 0.01".
type NumberRule struct {
	Op    Op
	Bound float64
}

// UnmarshalText reads an operator and a number.
func (r *NumberRule) UnmarshalText(b []byte) error {
	op, rest, ok := splitRule(string(b))
	v, err := strconv.ParseFloat(rest, 64)
	if !ok || err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("must be a rule on a number such as \"< 0.01\", not %q", strict.Clip(string(b)))
	}
	*r = NumberRule{op, v}
	return nil
}

// MarshalText writes the rule.
func (r NumberRule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r NumberRule) String() string {
	return string(r.Op) + " " + strconv.FormatFloat(r.Bound, 'g', -1, 64)
}

// Holds tells whether a number satisfies the rule.
func (r NumberRule) Holds(v float64) bool { return r.Op.holds(v, r.Bound) }

// PerTime is a rate of events, written "50/s", "600/m" or "1000/h".
type PerTime struct {
	N   float64
	Per time.Duration
}

// MaxRate is the highest rate of a flow: 100,000 requests per second.
const MaxRate = 100_000

// minRate is the lowest: one request a day.
const minRate = 1. / 86400

// UnmarshalText reads a rate.
func (r *PerTime) UnmarshalText(b []byte) error {
	num, unit, ok := strings.Cut(strings.TrimSpace(string(b)), "/")
	v, err := strconv.ParseFloat(num, 64)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if !ok || err != nil || per == 0 || !(v > 0) || v/per.Seconds() > MaxRate || v/per.Seconds() < minRate {
		return fmt.Errorf("must be a rate such as 50/s, 600/m or 1000/h, up to %d/s, not %q", MaxRate, strict.Clip(string(b)))
	}
	*r = PerTime{v, per}
	return nil
}

// MarshalText writes the rate.
func (r PerTime) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r PerTime) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[r.Per]
	return strconv.FormatFloat(r.N, 'f', -1, 64) + "/" + unit
}

// Interval is the time between two events.
func (r PerTime) Interval() time.Duration { return time.Duration(float64(r.Per) / r.N) }

// MarshalJSON of rules inside pointers works through MarshalText; this guards
// the zero NumberRule, which has no operator.
func (r NumberRule) MarshalJSON() ([]byte, error) {
	if r.Op == "" {
		return []byte("null"), nil
	}
	return json.Marshal(r.String())
}
