package strict

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// maxWord is the length of the longest word that is compared.
const maxWord = 64

// Suggest returns a text to put behind "no such thing": the nearest of the
// candidates ("; did you mean `latency`?"), else all of them if they are few,
// else nothing.
func Suggest(word string, candidates []string) string {
	best, dist := "", 1+max(1, len(word)/3)
	sorted := slices.Clone(candidates)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	for _, c := range sorted {
		if len(word) > maxWord {
			break
		}
		d := distance(strings.ToLower(word), strings.ToLower(c))
		if len(word) >= 3 && (strings.HasSuffix(c, "."+word) || strings.HasPrefix(c, word)) {
			d = min(d, 1)
		}
		if d < dist {
			best, dist = c, d
		}
	}
	switch {
	case best != "":
		return "; did you mean `" + oneLine(best) + "`?"
	case len(sorted) > 0 && len(sorted) <= 16:
		return "; there are: " + oneLine(strings.Join(sorted, ", "))
	}
	return ""
}

// oneLine escapes what could forge a line of a message.
func oneLine(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours between two words (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > maxWord || len(y) > maxWord {
		return max(len(x), len(y))
	}
	prev2, prev, cur := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		cur[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(y)]
}
