package fault

import (
	"encoding/json"
	"testing"
)

func TestDescribeNamesEveryParamWithItsDefault(t *testing.T) {
	for _, k := range Kinds() {
		d := k.Describe()
		if d.Name != k.Name || d.Doc == "" || d.Example == "" || len(d.Grounds) == 0 || d.Acts == "" {
			t.Errorf("%s: incomplete: %+v", k.Name, d)
		}
		for _, p := range d.Params {
			if p.Name == "" || p.Type == "" || p.Doc == "" {
				t.Errorf("%s: incomplete param: %+v", k.Name, p)
			}
			if p.Required && p.Default != "" {
				t.Errorf("%s: %s is required and has a default", k.Name, p.Name)
			}
		}
	}
	byName := map[string]Param{}
	for _, p := range NetLatency.Describe().Params {
		byName[p.Name] = p
	}
	if p := byName["delay"]; p.Type != "duration" || !p.Required {
		t.Errorf("delay is a duration that must be given: %+v", p)
	}
	if p := byName["direction"]; p.Default == "" || len(p.Values) == 0 || p.Required {
		t.Errorf("direction has a default and few values: %+v", p)
	}
}

// A share travels through the API as a number and must be read back as one.
func TestShareReadsWhatItWrites(t *testing.T) {
	for text, want := range map[string]Share{`0.25`: 0.25, `"0.25"`: 0.25, `"25%"`: 0.25, `1`: 1, `null`: 0} {
		var got Share
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{`0`, `2`, `-1`, `""`, `"x"`, `true`, `[]`} {
		var got Share
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s passes as %v", text, got)
		}
	}
}
