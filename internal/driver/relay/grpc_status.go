package relay

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.GRPCStatus,
	func(p *fault.CallStatus) relay.Effect { return newStatus(p) },
	func(p *fault.CallStatus) words {
		return words{touches: "gRPC calls on %s are answered with " + literally(string(p.Code)) + ", and the callee never sees them"}
	})

// status answers gRPC calls with a head that has no body and no trailers behind it:
// what gRPC calls Trailers-Only.
type status struct{ header http.Header }

func newStatus(p *fault.CallStatus) status {
	code, _ := p.Code.Number() // Validate refuses others
	message := p.Message
	if message == "" {
		message = "injected by chaosctl"
	}
	h := http.Header{}
	for name, value := range p.Metadata {
		h.Set(name, value)
	}
	h.Set("Grpc-Status", strconv.Itoa(code))
	h.Set("Grpc-Message", percentEncode(message))
	h["Content-Length"] = nil
	return status{h}
}

func (status) CallsOnly() {}

// Reply answers in the client's own sort of gRPC.
func (s status) Reply(r *http.Request) *relay.Answer {
	h := s.header.Clone()
	h.Set("Content-Type", r.Header.Get("Content-Type"))
	return &relay.Answer{Status: http.StatusOK, Header: h}
}

// percentEncode writes a message as gRPC over HTTP/2 has it: printable ASCII but for
// the percent sign stays.
func percentEncode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
