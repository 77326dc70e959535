package dns

import (
	"context"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
)

func seeds(f *testing.F) {
	for _, q := range []struct {
		name  string
		qtype uint16
		edns  bool
	}{{"auth.test.", 1, false}, {"a.b.c.AUTH.test.", 28, true}, {".", 2, true}, {`a\.b.test.`, 16, false}, {strings.Repeat("a.", 120), 1, true}} {
		m := new(dns.Msg)
		m.SetQuestion(q.name, q.qtype)
		if q.edns {
			m.SetEdns0(1232, true)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
}

// FuzzQuery: whatever comes, what we read of a query is what the library reads,
// and a refusal is never longer than what it refuses.
func FuzzQuery(f *testing.F) {
	seeds(f)
	all, err := fault.CompileName("*")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, fate := readQuery(raw, false)
		if fate == formErr || fate == notImp {
			if a := refusal(raw, rcodeFormErr); len(a) > len(raw) || a[2]&0x80 == 0 {
				t.Errorf("%x is refused with %x", raw, a)
			}
		}
		if fate != forward {
			return
		}
		if !all.Fits(q.name) {
			t.Errorf("%q is no name", q.name)
		}
		var m dns.Msg
		if m.Unpack(raw) != nil {
			return
		}
		labels := dns.CountLabel(m.Question[0].Name)
		own := 0
		if q.name != "" {
			own = strings.Count(q.name, ".") + 1
		}
		if m.Question[0].Qtype != q.qtype || m.Question[0].Qclass != q.class || own != labels {
			t.Errorf("%q %d %d, and the library reads %v", q.name, q.qtype, q.class, m.Question[0])
		}
		if !q.answers(append([]byte{raw[0], raw[1], raw[2] | 0x80}, raw[3:]...)) {
			t.Errorf("%x does not answer itself", raw)
		}
	})
}

// FuzzAnswer: an answer of our own is one to the query, of whatever kind, and fits
// the caller; so does a long one of an upstream.
func FuzzAnswer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, tcp := range []bool{false, true} {
			q, fate := readQuery(raw, tcp)
			if fate != forward {
				return
			}
			echo := func(_ context.Context, q *query) ([]byte, error) { return q.failed(), nil }
			for kind, params := range map[*fault.Kind]fault.Params{
				fault.DNSFail:  &fault.DNSFailure{Rcode: fault.NXDomain},
				fault.DNSSpoof: &fault.DNSLie{Answers: []string{"192.0.2.1", "2001:db8::1"}, CNAME: "other.test"},
			} {
				e, _, _, err := table[kind.Name].make(params)
				if err != nil {
					t.Fatal(err)
				}
				a, err := e.answer(t.Context(), &q, echo)
				if err != nil {
					continue // refused by handle
				}
				check(t, &q, a)
			}
			e, _, _, _ := table[fault.DNSSpoof.Name].make(&fault.DNSLie{CNAME: "other.test"})
			if a, err := e.answer(t.Context(), &q, echo); err == nil {
				check(t, &q, a)
			}
			check(t, &q, q.failed())
		}
	})
}

func check(t *testing.T, q *query, a []byte) {
	t.Helper()
	var m dns.Msg
	if err := m.Unpack(a); err != nil || !m.Response || m.Id != uint16(q.raw[0])<<8|uint16(q.raw[1]) {
		t.Fatalf("%x is answered with %x: %v", q.raw, a, err)
	}
	if len(a) > headerSize && !q.answers(a) {
		t.Errorf("%x is answered with %x, which is the answer to something else", q.raw, a)
	}
	if !q.tcp && len(a) > maxMessage {
		t.Errorf("%d bytes", len(a))
	}
}
