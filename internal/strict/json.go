package strict

import (
	"encoding/json"
	"regexp"
	"strconv"
	"unicode/utf16"
)

// joinSurrogates turns the pairs of escapes with which JSON may write a
// character beyond U+FFFF into the character: YAML, which otherwise reads all
// of JSON, does not know them. What is not JSON is returned as it came.
func joinSurrogates(data []byte) []byte {
	pair := regexp.MustCompile(`\\+u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	if !pair.Match(data) || !json.Valid(data) {
		return data
	}
	return pair.ReplaceAllFunc(data, func(m []byte) []byte {
		slashes := len(m) - len(`uD800\uDC00`)
		if slashes%2 == 0 { // the backslash itself is escaped
			return m
		}
		unit := func(hex []byte) rune {
			v, _ := strconv.ParseUint(string(hex), 16, 16) // the pattern made sure
			return rune(v)
		}
		r := utf16.DecodeRune(unit(m[slashes+1:slashes+5]), unit(m[len(m)-4:]))
		return append(append([]byte{}, m[:slashes-1]...), string(r)...)
	})
}
