package experiment

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// Digest is 128 bits: an id, or a hash under a key of the process that made it.
// Zero stands for none. As text it is 32 hexadecimal digits.
type Digest [16]byte

// IsZero tells whether there is none.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is 32 hexadecimal digits; empty if there is none.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return hex.EncodeToString(d[:])
}

// MarshalText writes the digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 32 hexadecimal digits, or nothing.
func (d *Digest) UnmarshalText(b []byte) error {
	var to Digest
	if len(b) > 0 {
		if n, err := hex.Decode(to[:], b[:min(len(b), 32)]); err != nil || n != len(to) || len(b) != 32 {
			return fmt.Errorf("must be 32 hexadecimal digits")
		}
	}
	*d = to
	return nil
}

// Keying is what makes exchanges attempts of one call.
type Keying string

// The ways, the surest first. ByBody is (caller, method, path, query, body): calls
// that look the same are told apart by statistics.
const (
	ByIdempotency Keying = "idempotency-key"
	ByRequestID   Keying = "request-id"
	ByTrace       Keying = "trace"
	ByBody        Keying = "body"
	Unkeyed       Keying = ""
)

// Who ended an exchange.
const (
	EndedByCaller = "caller"
	EndedByCallee = "callee"
	EndedByRelay  = "relay"
)

// Exchange is one request and its answer as seen on an edge, or one connection
// of a TCP edge, or, where Flow is set, one request of the synthetic users as they
// saw it themselves.
type Exchange struct {
	// No is its number in the ledger, from 1, in the order in which exchanges ended.
	No uint64 `json:"no,omitempty"`
	// Edge it was seen on; of the traffic, users -> service.
	Edge string `json:"edge"`
	// Flow of the traffic that sent it; empty for what relays saw.
	Flow      string    `json:"flow,omitempty"`
	Conn      uint64    `json:"conn,omitempty"`
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"`
	Status    int       `json:"status,omitempty"` // 0: no answer
	BytesIn   uint64    `json:"bytesIn"`
	BytesOut  uint64    `json:"bytesOut"`
	Start     time.Time `json:"start"`              // request's head read; connection accepted; of the traffic, the intended start
	FirstByte time.Time `json:"firstByte,omitzero"` // of the callee
	End       time.Time `json:"end"`
	// EndedBy says who ended it: callee, whole or not; caller, by hanging up or, on
	// edges that see bytes, by closing; relay, which is a fault of ours.
	EndedBy string `json:"endedBy,omitempty"`
	// Cut: the caller did not get a whole answer.
	Cut        bool     `json:"cut,omitempty"`
	TraceID    Digest   `json:"traceId,omitzero"`
	Idempotent string   `json:"idempotencyKey,omitempty"` // digits of its digest, keyed per process
	Faults     []string `json:"faults,omitempty"`         // names of the faults applied

	// Proto is HTTP/1.0, HTTP/1.1, HTTP/2 or websocket; empty on edges that see bytes.
	Proto string `json:"proto,omitempty"`
	Host  string `json:"host,omitempty"`  // of the request; of the TLS handshake on edges that see bytes
	Query string `json:"query,omitempty"` // without the question mark, secrets redacted
	// GRPC is the status of a gRPC call, -1 if there was none.
	GRPC *int `json:"grpcStatus,omitempty"`
	// Messages are those of a stream (gRPC, WebSocket): from the caller, from the callee.
	MessagesIn  uint64 `json:"messagesIn,omitempty"`
	MessagesOut uint64 `json:"messagesOut,omitempty"`
	// Key is the call key: what makes attempts of one call equal (DESIGN 4); Keyed
	// says by which.
	Key     Digest `json:"key,omitzero"`
	Keyed   Keying `json:"keyed,omitempty"`
	Attempt int    `json:"attempt,omitempty"` // of that key, from 1, as far as was counted
	// LastIn is when the request was read whole; RequestID and BodyHash are keyed per
	// process.
	LastIn    time.Time `json:"requestRead,omitzero"`
	RequestID Digest    `json:"requestId,omitzero"`
	BodyHash  Digest    `json:"bodyHash,omitzero"`
	// RetryAfter is what the answer asked the caller to wait, by that header.
	RetryAfter fault.Duration `json:"retryAfter,omitempty"`

	// Sent is when the traffic really sent it; Class is how the traffic calls its end
	// (200, timeout, refused, ...); OK whether the flow counts it as a success.
	Sent  time.Time `json:"sent,omitzero"`
	Class string    `json:"class,omitempty"`
	OK    bool      `json:"ok,omitempty"`
	// Answer is what the traffic found in the answer's body.
	Answer *Answer `json:"answer,omitempty"`
}

// Answer is what a body looks like, without its values.
type Answer struct {
	// Type is the media type, without parameters.
	Type string `json:"type,omitempty"`
	Size uint64 `json:"size"`
	// Shape of a JSON body: the names and types of its fields, in words of bounded
	// length; "invalid" if it is no JSON although its type says so; empty if it is
	// something else.
	Shape string `json:"shape,omitempty"`
	// Hash of the body, keyed per process.
	Hash Digest `json:"hash,omitzero"`
	// Degraded says by what the answer declares itself degraded; empty if it does not.
	Degraded string `json:"degraded,omitempty"`
}

// LedgerSummary is what the ledger of a run holds.
type LedgerSummary struct {
	// Exchanges of edges and Requests of the traffic that were written.
	Exchanges uint64 `json:"exchanges"`
	Requests  uint64 `json:"requests"`
	// Lost could not be written; Why says why.
	Lost uint64 `json:"lost"`
	Why  string `json:"why,omitempty"`
	// Judged is how many of them the inference looked at; fewer than there are only
	// when they are more than memory allows.
	Judged uint64 `json:"judged"`
	// Bytes of the file.
	Bytes uint64 `json:"bytes"`
}
