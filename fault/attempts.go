package fault

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Attempts says which tries of each call are hurt, written "1-2", "1", "3-" or
// "2,4-5"; the first try is 1. Empty stands for all of them.
type Attempts string

// tries are those from first to last; last 0 is no end.
type tries struct{ first, last int }

// maxAttempt is the highest number of a try that can be named, and maxTries how many
// parts may be named.
const (
	maxAttempt = 1000
	maxTries   = 20
)

// UnmarshalText reads attempts; parts must rise.
func (a *Attempts) UnmarshalText(b []byte) error {
	parts, err := parseAttempts(string(b))
	if err != nil {
		return err
	}
	words := make([]string, len(parts))
	for i, t := range parts {
		switch words[i] = strconv.Itoa(t.first); t.last {
		case t.first:
		case 0:
			words[i] += "-"
		default:
			words[i] += "-" + strconv.Itoa(t.last)
		}
	}
	*a = Attempts(strings.Join(words, ","))
	return nil
}

func parseAttempts(s string) ([]tries, error) {
	bad := fmt.Errorf("must be the tries of a call that are hurt, from 1 to %d and rising, such as 1-2, 1, 3- or 2,4-5, not %q", maxAttempt, strict.Clip(s))
	var all []tries
	least := 1 // that may follow; 0 behind an open end
	for part := range strings.SplitSeq(s, ",") {
		first, last, ranged := strings.Cut(part, "-")
		t := tries{first: try(first)}
		if t.last = t.first; ranged {
			t.last = try(last)
		}
		open := ranged && strings.TrimSpace(last) == ""
		if t.first == 0 || least == 0 || t.first < least || !open && t.last < t.first {
			return nil, bad
		}
		if least = t.last + 1; open {
			least = 0
		}
		if all = append(all, t); len(all) > maxTries {
			return nil, fmt.Errorf("must name at most %d parts", maxTries)
		}
	}
	return all, nil
}

// try reads the number of a try, 0 if it is none.
func try(s string) int {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil || n > maxAttempt {
		return 0
	}
	return int(n)
}

// Has tells whether a try, counted from 1, is hurt.
func (a Attempts) Has(n int) bool {
	if a == "" {
		return true
	}
	parts, _ := parseAttempts(string(a)) // none of what cannot be read
	for _, t := range parts {
		if n >= t.first && (n <= t.last || t.last == 0) {
			return true
		}
	}
	return false
}

// Validate refuses what a program may have put in.
func (a Attempts) Validate() error {
	if a == "" {
		return nil
	}
	_, err := parseAttempts(string(a))
	return err
}
