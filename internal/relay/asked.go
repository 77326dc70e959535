package relay

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// The request headers by which callers ask for faults. Ours go before Envoy's where
// both ask for the same; a share goes with the values of its own family. An abort goes
// before a gRPC status, and that, which only gRPC calls get, before an HTTP status.
const (
	askDelay  = "X-Chaos-Delay"       // 200ms
	askStatus = "X-Chaos-Status"      // 503
	askAbort  = "X-Chaos-Abort"       // close or reset
	askCode   = "X-Chaos-Grpc-Status" // UNAVAILABLE or 14
	askShare  = "X-Chaos-Share"       // 0.5 or 50%

	envoyDelay      = "X-Envoy-Fault-Delay-Request" // in milliseconds
	envoyDelayShare = "X-Envoy-Fault-Delay-Request-Percentage"
	envoyStatus     = "X-Envoy-Fault-Abort-Request"
	envoyCode       = "X-Envoy-Fault-Abort-Grpc-Request"
	envoyAbortShare = "X-Envoy-Fault-Abort-Request-Percentage"
)

// askers are the headers that ask for something, by what they ask for; shares are
// those that go with them.
var (
	askers = []struct{ header, what, share string }{
		{askDelay, experiment.AskDelay, askShare}, {envoyDelay, experiment.AskDelay, envoyDelayShare},
		{askAbort, experiment.AskAbort, askShare},
		{askCode, experiment.AskGRPC, askShare}, {envoyCode, experiment.AskGRPC, envoyAbortShare},
		{askStatus, experiment.AskStatus, askShare}, {envoyStatus, experiment.AskStatus, envoyAbortShare},
	}
	askShares = []string{askShare, envoyDelayShare, envoyAbortShare}
)

// asked are the limits of the faults that callers of an edge ask for, and what those
// did.
type asked struct {
	allow    []string
	maxDelay time.Duration
	maxShare float64
	protect  []*matcher
	tally    *armed
	ignored  atomic.Uint64

	mu         sync.Mutex
	seen, hurt float64 // requests of late
}

// lately is how many requests a cap on the share looks back over, about.
const lately = 1000

func newAsked(s Spec, edge string) (*asked, error) {
	c := s.ClientFaults
	if c == nil || !s.Protocol.SeesRequests() {
		return nil, nil
	}
	k := &asked{
		allow: c.Allow, maxDelay: c.MaxDelay.Std(), maxShare: c.MaxShare.Of(),
		tally: &armed{edge: edge, unit: fault.Exchange, gone: make(chan struct{}), receipt: fault.Receipt{Unit: fault.Exchange}},
	}
	if k.maxDelay <= 0 {
		k.maxDelay = experiment.MaxAskedDelay
	}
	for i := range s.Protect {
		m, err := compile(&s.Protect[i])
		if err != nil {
			return nil, fmt.Errorf("client faults: protect: %w", err)
		}
		k.protect = append(k.protect, m)
	}
	return k, nil
}

// status is what was asked for so far.
func (k *asked) status() *experiment.Asked {
	if k == nil {
		return nil
	}
	r := k.tally.counts()
	return &experiment.Asked{Matched: r.Matched, Injected: r.Injected, Skipped: r.Skipped, Ignored: k.ignored.Load()}
}

// lift lets go of what is delayed.
func (k *asked) lift() {
	if k != nil {
		k.tally.lift()
	}
}

// wish is one thing that a request asks for.
type wish struct {
	what   string // experiment.AskDelay, ...
	header string
	share  string // the header of its share
	chance float64
	effect Effect
}

// wishes reads what a request asks for, in the order in which it is done: a delay and
// one end at most. asks tells whether it asks at all; ignored are values that cannot be
// read, are not allowed, or are overruled.
func (k *asked) wishes(h http.Header, grpc bool) (list []wish, asks bool, ignored int) {
	for _, name := range askShares {
		if _, err := chanceOf(h[name], name); err != nil {
			ignored++
		}
	}
	delayed, ended := false, false
	for _, a := range askers {
		values := h[a.header]
		if len(values) == 0 {
			continue
		}
		asks = true
		w := wish{what: a.what, header: a.header, share: a.share}
		var err error
		w.chance, err = chanceOf(h[a.share], a.share)
		taken := ended
		if a.what == experiment.AskDelay {
			taken = delayed
		}
		if err == nil && len(values) == 1 && !taken && slices.Contains(k.allow, a.what) && (grpc || a.what != experiment.AskGRPC) {
			w.effect = k.read(a.header, values[0])
		}
		switch {
		case w.effect == nil:
			ignored++
			continue
		case a.what == experiment.AskDelay:
			delayed = true
		default:
			ended = true
		}
		list = append(list, w)
	}
	return list, asks, ignored
}

// chanceOf reads a share; 1 if there is none.
func chanceOf(values []string, name string) (float64, error) {
	if len(values) == 0 {
		return 1, nil
	}
	if len(values) > 1 {
		return 0, fmt.Errorf("%s stands twice", name)
	}
	if name == askShare {
		var s fault.Share
		err := s.UnmarshalText([]byte(values[0]))
		return float64(s), err
	}
	n, err := strconv.ParseUint(values[0], 10, 8)
	if err != nil || n > 100 {
		return 0, fmt.Errorf("%s must be from 0 to 100", name)
	}
	return float64(n) / 100, nil
}

// read turns a value into what it asks for, nil if it cannot be read.
func (k *asked) read(header, value string) Effect {
	switch header {
	case askDelay:
		var d fault.Duration
		if d.UnmarshalText([]byte(value)) == nil && d > 0 {
			return askedDelay(min(d.Std(), k.maxDelay))
		}
	case envoyDelay:
		if ms, err := strconv.ParseUint(value, 10, 32); err == nil && ms > 0 {
			return askedDelay(min(time.Duration(ms)*time.Millisecond, k.maxDelay))
		}
	case askAbort:
		switch value {
		case "close":
			return askedEnd(Close)
		case "reset":
			return askedEnd(Reset)
		}
	case askCode, envoyCode:
		code := fault.Code(value)
		if err := code.UnmarshalText([]byte(value)); err != nil {
			return nil
		}
		if n, err := code.Number(); err == nil && n > 0 {
			return askedCode(n)
		}
	case askStatus, envoyStatus:
		if n, err := strconv.ParseUint(value, 10, 16); err == nil && n >= 200 && n <= 599 {
			return askedStatus(n)
		}
	}
	return nil
}

// ask puts on an exchange what its caller asks for. It is called before anybody else
// knows the exchange. The headers of what is put on it are taken out of the request:
// they were obeyed. All others go on, to whom they may be meant for.
func (x *exchange) ask() {
	k := x.edge.edge.asked
	if k == nil {
		return
	}
	list, asks, ignored := k.wishes(x.r.Header, isGRPC(x.r))
	k.ignored.Add(uint64(ignored))
	may := k.permit(len(list) > 0)
	if !asks {
		return
	}
	t := k.tally
	t.mu.Lock()
	t.receipt.Matched++
	key := strconv.FormatUint(t.receipt.Matched, 10)
	t.mu.Unlock()
	if id := x.record.TraceID; !id.IsZero() {
		key = id.String() + " " + strconv.Itoa(t.tries.next(id))
	}
	spared := !may || slices.ContainsFunc(k.protect, func(m *matcher) bool { return m.spares(x.r) })
	counted := new(atomic.Bool)
	for _, w := range list {
		name := "client:" + w.what
		if spared || fault.Draw(0, name, t.edge, key) >= w.chance {
			continue
		}
		x.hits = append(x.hits, &hit{key: key, armed: &armed{
			Armed: Armed{ID: name, Name: name, Effect: w.effect}, first: t, edge: t.edge, unit: fault.Exchange, gone: t.gone, counted: counted,
		}})
		obeyed(x.r.Header, w)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active += len(x.hits); len(x.hits) > 0 {
		x.drawn.Store(true)
		return
	}
	t.receipt.Skipped++
	if may {
		k.giveBack()
	}
}

// obeyed takes out the header of what was put on an exchange, and that of its share
// unless something else still goes by it.
func obeyed(h http.Header, w wish) {
	h.Del(w.header)
	for _, a := range askers {
		if a.share == w.share && len(h[a.header]) > 0 {
			return
		}
	}
	h.Del(w.share)
}

// permit counts a request, and tells whether one more may be hurt: if it is wanted,
// that is counted as well.
func (k *asked) permit(wanted bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen++; k.seen >= lately {
		k.seen, k.hurt = k.seen/2, k.hurt/2
	}
	if !wanted || k.hurt+1 > k.maxShare*k.seen {
		return false
	}
	k.hurt++
	return true
}

// giveBack takes a permission back that was not used.
func (k *asked) giveBack() {
	k.mu.Lock()
	k.hurt = max(0, k.hurt-1)
	k.mu.Unlock()
}

// The effects that callers can ask for.
type (
	askedDelay  time.Duration
	askedEnd    Ending
	askedCode   int
	askedStatus int
)

// Delay implements Delayer.
func (d askedDelay) Delay(*Rand) time.Duration { return time.Duration(d) }

// End implements Ender.
func (e askedEnd) End() (time.Duration, Ending) { return 0, Ending(e) }

// Answer implements Answerer, as a gRPC server that fails before its first message.
func (c askedCode) Answer() Answer {
	return Answer{Status: http.StatusOK, Header: http.Header{
		"Content-Type": {"application/grpc"}, "Content-Length": nil,
		"Grpc-Status": {strconv.Itoa(int(c))}, "Grpc-Message": {"chaosctl: the caller asked for this"},
	}}
}

// Answer implements Answerer.
func (s askedStatus) Answer() Answer {
	if s == http.StatusNoContent || s == http.StatusResetContent || s == http.StatusNotModified {
		return Answer{Status: int(s)}
	}
	return Answer{Status: int(s), Header: http.Header{"Content-Type": {"application/json"}},
		Body: []byte(`{"error":"the caller asked chaosctl for this"}` + "\n")}
}
