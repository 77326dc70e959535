package fault

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Duration is a length of time, written with a unit: "150ms", "2s", "1m30s".
// It is never negative.
type Duration time.Duration

// MaxDuration is the longest duration that is read: 30 days.
const MaxDuration = Duration(30 * 24 * time.Hour)

// UnmarshalText reads a duration; a bare number, a negative one and one beyond
// MaxDuration are errors.
func (d *Duration) UnmarshalText(b []byte) error {
	s := string(b)
	v, err := time.ParseDuration(s)
	bare := strings.Trim(s, "0123456789.") == ""
	switch {
	case strings.HasPrefix(s, "-") && len(s) > 1 && s[1] >= '0' && s[1] <= '9':
		return fmt.Errorf("must not be negative, as %s is", strict.Clip(s))
	case err != nil && bare && s != "" && s != ".":
		return fmt.Errorf("needs a unit: write %sms or %ss, not %s", strict.Clip(s), strict.Clip(s), strict.Clip(s))
	case err == nil && Duration(v) > MaxDuration, err != nil && overlong(s):
		return fmt.Errorf("must be at most 720h (30 days), not %s", strict.Clip(s))
	case err != nil || v < 0:
		return fmt.Errorf("must be a duration such as 150ms, 2s or 1m30s, not %q", strict.Clip(s))
	}
	*d = Duration(v)
	return nil
}

// overlong tells whether a text is a duration but for its length.
func overlong(s string) bool {
	number := strings.TrimRight(s, "hmsnuµ")
	_, err := time.ParseDuration("1" + strings.TrimPrefix(s, number))
	return err == nil && number != "" && strings.Trim(number, "0123456789") == ""
}

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string { return time.Duration(d).String() }

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// maxDelay bounds every wait that a fault may ask for.
const maxDelay = Duration(time.Hour)

// mustDelay checks a wait that a kind is nothing without.
func mustDelay(field string, d Duration, example string) error {
	if d <= 0 || d > maxDelay {
		return strict.Fieldf(field, "must be given, more than 0 and at most 1h, for example %s", example)
	}
	return nil
}

// mayDelay checks a wait that may be 0.
func mayDelay(field string, d Duration) error {
	if d < 0 || d > maxDelay {
		return strict.Fieldf(field, "must be at most 1h, not %s", d)
	}
	return nil
}

// maxUntil bounds the time after which a fault ends a connection: whoever writes a
// day means that it should not happen.
const maxUntil = Duration(30 * 24 * time.Hour)

// mayEnd checks a time after which a connection ends; it may be 0.
func mayEnd(field string, d Duration) error {
	if d < 0 || d > maxUntil {
		return strict.Fieldf(field, "must be at most 720h (30 days), not %s", d)
	}
	return nil
}

// jitterWithin checks a jitter that may not exceed its delay.
func jitterWithin(jitter, delay Duration) error {
	if jitter < 0 || jitter > delay {
		return strict.Fieldf("jitter", "must not be more than the delay (%s), as %s is", delay, jitter)
	}
	return nil
}

// Size is a number of bytes, written with a unit: "64KiB", "10MB", "512B".
// K, M, G are powers of 1000; Ki, Mi, Gi of 1024.
type Size int64

// Rate is a number of bytes per second, written "1MB/s", "64KiB/s" or, in bits,
// "8mbit/s".
type Rate int64

// MaxRate is the largest rate that is read: 1 TB/s.
const MaxRate = Rate(1e12)

var byteUnits = map[string]float64{
	"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

var bitUnits = map[string]float64{"bit": 1. / 8, "kbit": 1e3 / 8, "mbit": 1e6 / 8, "gbit": 1e9 / 8}

func parseQuantity(s string, units map[string]float64) (float64, bool) {
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i <= 0 {
		return 0, false
	}
	v, err := strconv.ParseFloat(s[:i], 64)
	u, ok := units[strings.ToLower(strings.TrimSpace(s[i:]))]
	return v * u, err == nil && ok && !math.IsInf(v*u, 0)
}

// UnmarshalText reads a size.
func (z *Size) UnmarshalText(b []byte) error {
	v, ok := parseQuantity(string(b), byteUnits)
	if !ok || v > 1<<62 {
		return fmt.Errorf("must be a size such as 64KiB or 10MB, not %q", strict.Clip(string(b)))
	}
	*z = Size(v)
	return nil
}

// MarshalText writes the size in the largest unit that is exact.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

func (z Size) String() string { return quantity(int64(z)) }

// UnmarshalText reads a rate.
func (r *Rate) UnmarshalText(b []byte) error {
	s := string(b)
	num, ok := strings.CutSuffix(s, "/s")
	v, good := parseQuantity(num, byteUnits)
	if !good {
		v, good = parseQuantity(num, bitUnits)
	}
	if !ok || !good || v < 1 || v > float64(MaxRate) {
		return fmt.Errorf("must be a rate from 1B/s to 1TB/s such as 1MB/s, 64KiB/s or 8mbit/s, not %q", strict.Clip(s))
	}
	*r = Rate(v)
	return nil
}

// MarshalText writes the rate in bytes per second.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Rate) String() string { return quantity(int64(r)) + "/s" }

func quantity(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// Share is a part of a whole in (0, 1], written 0.2 or "20%". The zero value
// stands for a share that was not given, which means all.
type Share float64

// UnmarshalText reads a share.
func (s *Share) UnmarshalText(b []byte) error {
	v, err := parsePart(string(b))
	if err != nil || !(v > 0 && v <= 1) {
		return fmt.Errorf("must be a share above 0 and up to 1, such as 0.2 or 20%%, not %q", strict.Clip(string(b)))
	}
	*s = Share(v)
	return nil
}

// parsePart reads 0.2 and 20%.
func parsePart(s string) (float64, error) {
	text, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(text, 64)
	if percent {
		v /= 100
	}
	return v, err
}

// MarshalJSON writes the share as a number.
func (s Share) MarshalJSON() ([]byte, error) { return json.Marshal(float64(s)) }

// UnmarshalJSON reads a share as MarshalJSON writes it, or as text.
func (s *Share) UnmarshalJSON(b []byte) error { return fromJSON(b, s) }

// fromJSON reads a number that may stand in quotes; null changes nothing.
func fromJSON(b []byte, v encoding.TextUnmarshaler) error {
	if string(b) == "null" {
		return nil
	}
	if text := ""; json.Unmarshal(b, &text) == nil {
		b = []byte(text)
	}
	return v.UnmarshalText(b)
}

// Chance is a probability in [0, 1], written 0.2 or "20%".
type Chance float64

// UnmarshalText reads a chance.
func (c *Chance) UnmarshalText(b []byte) error {
	v, err := parsePart(string(b))
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("must be from 0 to 1, such as 0.05 or 5%%, not %q", strict.Clip(string(b)))
	}
	*c = Chance(v)
	return nil
}

// MarshalJSON writes the chance as a number.
func (c Chance) MarshalJSON() ([]byte, error) { return json.Marshal(float64(c)) }

// UnmarshalJSON reads a chance as MarshalJSON writes it, or as text.
func (c *Chance) UnmarshalJSON(b []byte) error { return fromJSON(b, c) }

// check refuses what a program may have put in.
func (c Chance) check(field string) error {
	if !(c >= 0 && c <= 1) {
		return strict.Fieldf(field, "must be from 0 to 1, such as 0.05 or 5%%, not %v", float64(c))
	}
	return nil
}

// Of is the share, 1 if none was given.
func (s Share) Of() float64 {
	if s == 0 {
		return 1
	}
	return float64(s)
}
