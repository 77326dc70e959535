package ledger

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// A chunk in which a bit has flipped is left out, and no other.
func TestDamagedChunk(t *testing.T) {
	w, path := create(t)
	for i := range 3000 {
		x := typical(i)
		w.Take(&x)
	}
	w.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[chunkSize/2] ^= 0x10
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var got []experiment.Exchange
	if err := Scan(path, keepAll(&got)); err != nil {
		t.Fatal(err)
	}
	info, err := Peek(path)
	if err != nil || !info.Whole || info.Exchanges != uint64(len(got)) || len(got) == 0 || len(got) == 3000 {
		t.Errorf("%d read, %+v %v", len(got), info, err)
	}
	for _, x := range got {
		if want := typical(int(x.No) - 1); x.Key != want.Key {
			t.Fatalf("number %d is %+v", x.No, x)
		}
	}
	if book, err := Load(path, 0); err != nil || book.Read != uint64(len(got)) {
		t.Errorf("%d read, the book says %d; %v", len(got), book.Read, err)
	}
}

// A connection that ended well is no failure; an exchange without a status is one.
func TestConnectionThatEndedWell(t *testing.T) {
	for want, x := range map[string]experiment.Exchange{
		"ended false":  {Edge: "a -> b", EndedBy: experiment.EndedByCaller, BytesIn: 5, BytesOut: 5},
		"reset true":   {Edge: "a -> b", EndedBy: experiment.EndedByCallee, Cut: true},
		"timeout true": {Edge: "a -> b", EndedBy: experiment.EndedByCaller, Cut: true},
		"200 false":    {Edge: "a -> b", Method: "GET", Path: "/", Status: 200},
	} {
		x.Start, x.End = time.Now(), time.Now()
		word, failed := outcomeOf(&x)
		e := NewBook([]experiment.Exchange{x}).Entries[0]
		if got := fmt.Sprint(word, " ", failed); got != want || e.Outcome() != word || e.Failed() != failed {
			t.Errorf("%s, should be %s; the entry is %s, %v", got, want, e.Outcome(), e.Failed())
		}
	}
}

// However long and many the paths are, what a book keeps of them is bounded, and those
// that differ still do.
func TestLongPathsInBook(t *testing.T) {
	w, path := create(t)
	const n = 30_000
	for i := range n {
		x := typical(i)
		x.Path = fmt.Sprintf("/%s/%d", strings.Repeat("é", 400), i)
		w.Take(&x)
	}
	w.Close()
	book, err := Load(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, r := range book.Routes {
		bytes += len(r.Path) + len(r.Query)
	}
	if len(book.Routes) != n || bytes > mostTexts+n*4*pathKept {
		t.Errorf("%d routes of %d take %d bytes", len(book.Routes), n, bytes)
	}
}
