package experiment

import (
	"net/url"
	"slices"
	"strings"
)

// Masked stands in records where a secret was.
const Masked = "(secret)"

// secretWords are those by which a name tells that what it names is secret.
var secretWords = []string{
	"authorization", "cookie", "token", "secret", "password", "passwd", "api-key", "apikey", "api_key", "credential", "signature", "session",
}

// secretNames are short names of parameters that carry secrets: too short to look for
// them within others.
var secretNames = []string{"auth", "code", "jwt", "key", "otp", "pass", "pwd", "sig"}

// LooksSecret tells by its name whether a header, parameter or field carries a secret.
func LooksSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// queryLimit is how much of a query is kept.
const queryLimit = 1024

// RedactQuery masks the values of parameters that look secret by their names, and
// clips what is longer than 1 KiB. The query is without its question mark.
func RedactQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, p := range parts {
		name, _, ok := strings.Cut(p, "=")
		if plain, err := url.QueryUnescape(name); ok && (err != nil || LooksSecret(plain) || slices.Contains(secretNames, strings.ToLower(plain))) {
			parts[i] = name + "=" + Masked
		}
	}
	all := strings.Join(parts, "&")
	return all[:min(len(all), queryLimit)]
}
