package strict

import (
	"encoding/json"
	"testing"
)

func TestJSONMayWriteCharactersAsSurrogatePairs(t *testing.T) {
	for _, doc := range []string{
		`{"a":"x\ud83d\ude00y\uD83D\uDE00"}`, `{"a":"\\\ud83d\ude00"}`, `{"a":"\\ud83d\\ude00"}`, `{"a":"\\ud83d\u00e4"}`, `{"a":"\u00e4\/"}`,
	} {
		var want, got struct {
			A string `json:"a"`
		}
		if err := json.Unmarshal([]byte(doc), &want); err != nil {
			t.Fatal(err)
		}
		if err := Unmarshal("", []byte(doc), &got); err != nil || got != want {
			t.Errorf("%s: got %q, want %q (%v)", doc, got.A, want.A, err)
		}
	}
	var v struct {
		A string `json:"a"`
	}
	if err := Unmarshal("", []byte(`{"a":"\ud83d"}`), &v); err == nil {
		t.Error("half a pair must stay an error")
	}
	if err := Unmarshal("", []byte(`a: '\ud83d\ude00'`), &v); err != nil || v.A != `\ud83d\ude00` {
		t.Errorf("YAML must be left alone: %q %v", v.A, err)
	}
}
