package experiment_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// Parameters that carry secrets are masked by their names, short ones only if that is
// the whole name.
func TestRedactQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"":                              "",
		"a=1&Token=x&%74oken=x&token":   "a=1&Token=(secret)&%74oken=(secret)&token",
		"sig=x&Code=y&jwt=z&pwd=p&key=": "sig=(secret)&Code=(secret)&jwt=(secret)&pwd=(secret)&key=(secret)",
		"keyboard=1&zipcode=2&design=3": "keyboard=1&zipcode=2&design=3",
	} {
		if got := experiment.RedactQuery(raw); got != want {
			t.Errorf("%s: %s, should be %s", raw, got, want)
		}
	}
}
