package toxiproxy

import (
	"math"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// toxicType is a type of toxic, as clients name it.
type toxicType struct {
	attributes []attribute
	// check refuses values that do not go together; it may be nil.
	check func(v []value) error
	// fault says it in our words.
	fault func(v []value, d fault.Direction) (*fault.Kind, fault.Params)
	// undivided: it acts on the listener, so on all callers or none.
	undivided bool
}

// Bounds of attributes, in their own units.
const (
	maxMillis = 3_600_000     // an hour
	maxEnd    = 2_592_000_000 // 30 days, for what ends a connection: a day is meant as never
	maxMicros = 3_600_000_000 // an hour
	maxKBps   = 1e9           // 1 TB/s
	maxSlice  = 1 << 30       // 1 GiB
	maxBytes  = 1 << 52       // 4 PiB
)

func millis(name string) attribute {
	return attribute{name: name, of: whole, most: maxMillis, unit: " of milliseconds"}
}

// types are all there are. The attributes of those that the original has stand in
// the order in which it lists them.
var types = map[string]*toxicType{
	"latency": {
		attributes: []attribute{
			millis("latency"), millis("jitter"),
			{name: "distribution", of: word, words: []string{"uniform", "normal", "lognormal", "pareto"}, ours: true},
			{name: "reorder", of: truth, ours: true},
		},
		check: checkLatency,
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			if v[0].number == 0 && v[1].number == 0 {
				return nothing(d)
			}
			p := &fault.Latency{Delay: ms(v[0]), Jitter: ms(v[1]), Distribution: fault.Uniform, Reorder: v[3].truth, Direction: d}
			if v[2].word != "" {
				p.Distribution = fault.Distribution(v[2].word)
			}
			return fault.NetLatency, p
		},
	},
	"bandwidth": {
		attributes: []attribute{
			{name: "rate", of: whole, most: maxKBps, unit: " of KB/s"},
			{name: "scope", of: word, words: []string{"connection", "edge"}, ours: true},
		},
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			if v[0].number == 0 { // bytes are held, and go on when it changes
				return fault.NetStall, &fault.Stall{Direction: d}
			}
			p := &fault.Bandwidth{Rate: fault.Rate(v[0].number * 1000), Direction: d, Scope: fault.PerConnection}
			if v[1].word != "" {
				p.Scope = fault.Scope(v[1].word)
			}
			return fault.NetBandwidth, p
		},
	},
	"slow_close": {
		attributes: []attribute{millis("delay")},
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			if v[0].number == 0 {
				return nothing(d)
			}
			return fault.NetSlowClose, &fault.SlowClose{Delay: ms(v[0]), Direction: d}
		},
	},
	"timeout": {
		attributes: []attribute{{name: "timeout", of: whole, most: maxEnd, unit: " of milliseconds"}},
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			return fault.NetTimeout, &fault.Timeout{After: ms(v[0]), Direction: d}
		},
	},
	"reset_peer": {
		attributes: []attribute{{name: "timeout", of: whole, most: maxEnd, unit: " of milliseconds"}},
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			return fault.NetReset, &fault.Reset{On: fault.ResetOnData, After: ms(v[0]), Direction: d}
		},
	},
	"slicer": {
		attributes: []attribute{
			{name: "average_size", of: whole, least: 1, most: maxSlice, unit: " of bytes"},
			{name: "size_variation", of: whole, most: maxSlice, unit: " of bytes"},
			{name: "delay", of: whole, most: maxMicros, unit: " of microseconds"},
		},
		check: checkSlicer,
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			return fault.NetSlice, &fault.Slice{
				Size: fault.Size(v[0].number), Variation: fault.Size(v[1].number),
				Delay: fault.Duration(v[2].number) * fault.Duration(time.Microsecond), Direction: d,
			}
		},
	},
	"limit_data": {
		attributes: []attribute{{name: "bytes", of: whole, most: maxBytes, unit: " of bytes"}},
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			n := fault.Size(v[0].number)
			return fault.NetLimit, &fault.Limit{Bytes: &n, Direction: d}
		},
	},
	"noop": {
		fault: func(_ []value, d fault.Direction) (*fault.Kind, fault.Params) { return nothing(d) },
	},
	"packet_loss": {
		attributes: []attribute{
			{name: "loss_rate", of: fraction, least: -math.MaxFloat64, most: math.MaxFloat64},
			{name: "correlation", of: fraction, least: -math.MaxFloat64, most: math.MaxFloat64},
		},
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			return fault.NetDrop, &fault.Drop{Rate: chance(v[0]), Correlation: chance(v[1]), Direction: d}
		},
	},
	"limit_time": {
		attributes: []attribute{{name: "time", of: whole, least: 1, most: maxEnd, unit: " of milliseconds"}},
		check:      required("time", "for example 5000"),
		fault: func(v []value, d fault.Direction) (*fault.Kind, fault.Params) {
			return fault.NetLimit, &fault.Limit{After: ms(v[0]), Direction: d}
		},
	},
	"slow_accept": {
		attributes: []attribute{
			{name: "delay", of: whole, least: 1, most: maxMillis, unit: " of milliseconds"},
			millis("jitter"),
		},
		check: checkSlowAccept,
		fault: func(v []value, _ fault.Direction) (*fault.Kind, fault.Params) {
			return fault.NetSlowAccept, &fault.SlowAccept{Delay: ms(v[0]), Jitter: ms(v[1])}
		},
	},
	"refuse": {
		undivided: true,
		fault: func([]value, fault.Direction) (*fault.Kind, fault.Params) {
			return fault.NetRefuse, &fault.Refuse{}
		},
	},
	"connect_timeout": {
		undivided: true,
		fault: func([]value, fault.Direction) (*fault.Kind, fault.Params) {
			return fault.NetConnectTimeout, &fault.ConnectTimeout{}
		},
	},
}

// nothing is what a toxic does whose attributes are all 0.
func nothing(d fault.Direction) (*fault.Kind, fault.Params) {
	return fault.NetNoop, &fault.Noop{Direction: d}
}

func ms(v value) fault.Duration { return fault.Duration(v.number) * fault.Duration(time.Millisecond) }

// chance is a share as the original takes it: what is beyond 0 or 1 is that.
func chance(v value) fault.Chance { return fault.Chance(min(max(v.number, 0), 1)) }
