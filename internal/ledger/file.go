package ledger

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// A file is a magic line and frames. A frame is its length and the CRC-32C of what
// follows, 4 bytes each, then a letter for its sort, then the rest:
//
//	h  a Header as JSON; the first frame
//	x  a chunk: the number of its first exchange (8 bytes), how many there are (4) and
//	   how many of them are requests of the traffic (4), then the exchanges, which have
//	   consecutive numbers; no chunk needs another one to be read
//	e  an ending as JSON; the last frame of a file that was closed
//
// All numbers of fixed length are little-endian. What a process that was killed leaves
// is a file without ending, perhaps with a part of a frame behind the last whole one.
const (
	magic     = "chaosctl ledger\n"
	version   = 1
	frameHead = 8
	chunkHead = 1 + 8 + 4 + 4

	// chunkSize is when a chunk is full; mostRecord is the largest exchange.
	chunkSize  = 64 << 10
	mostRecord = 256 << 10
	// mostFrame is more than any frame.
	mostFrame = chunkSize + 2*mostRecord
)

// Header says what a ledger file is.
type Header struct {
	// Version of the format.
	Version int `json:"version"`
	// Run whose exchanges these are, and its experiment.
	Run        string `json:"run"`
	Experiment string `json:"experiment,omitempty"`
	// Started is when the run began.
	Started time.Time `json:"started"`
	// Base is what instants in the file are counted from.
	Base time.Time `json:"base"`
}

// ending is the last frame.
type ending struct {
	Exchanges uint64 `json:"exchanges"`
	Requests  uint64 `json:"requests"`
	Lost      uint64 `json:"lost"`
	Why       string `json:"why,omitempty"`
}

// putChunkCounts fills in a chunk's head.
func putChunkCounts(payload []byte, first uint64, n, requests uint32) {
	payload[0] = 'x'
	binary.LittleEndian.PutUint64(payload[1:], first)
	binary.LittleEndian.PutUint32(payload[9:], n)
	binary.LittleEndian.PutUint32(payload[13:], requests)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame makes a frame of what stands behind room for its head.
func frame(b []byte) []byte {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-frameHead))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[frameHead:], castagnoli))
	return b
}

func jsonFrame(sort byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode the ledger's header: %w", err)
	}
	return frame(append(append(make([]byte, frameHead, frameHead+1+len(b)), sort), b...)), nil
}

// chunkCounts are the numbers in a chunk's head.
func chunkCounts(payload []byte) (first uint64, n, requests uint32, ok bool) {
	if len(payload) < chunkHead {
		return 0, 0, 0, false
	}
	first, n, requests = binary.LittleEndian.Uint64(payload[1:]), binary.LittleEndian.Uint32(payload[9:]), binary.LittleEndian.Uint32(payload[13:])
	return first, n, requests, uint64(n) <= uint64(len(payload)-chunkHead)/leastRecord && requests <= n
}

// ErrNoLedger is the error for a file that is no ledger.
var ErrNoLedger = errors.New("is not a ledger")

// Info is what a file says of itself.
type Info struct {
	Header
	// Exchanges of edges and Requests of the traffic that can be read.
	Exchanges, Requests uint64
	// Lost could not be written; Why says why.
	Lost uint64
	Why  string
	// Whole is false if the file was not closed: its process was killed, or still writes.
	Whole bool
	// Bytes of it that can be read.
	Bytes int64
}

// Peek reads the header of a ledger file and counts what is in it, without reading all
// exchanges.
func Peek(path string) (Info, error) {
	return walk(path, nil)
}

// Scan hands each exchange of a ledger file to f, in the order of their numbers, until
// f returns an error, which it returns. An exchange is valid until f returns: f must
// keep nothing of it that is not a plain value or text. What a killed process left is
// read as far as it is whole, and chunks that are damaged are left out; what cannot be
// read at all is an error that wraps ErrNoLedger.
func Scan(path string, f func(*experiment.Exchange) error) error {
	_, err := walk(path, f)
	return err
}

// walk reads a file; f may be nil.
func walk(path string, f func(*experiment.Exchange) error) (Info, error) {
	file, err := os.Open(path)
	if err != nil {
		return Info{}, fmt.Errorf("open the ledger: %w", err)
	}
	info, err := readLedger(file, f)
	if cerr := file.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("read the ledger: %w", cerr)
	}
	if errors.Is(err, ErrNoLedger) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return info, err
}

func readLedger(r io.Reader, f func(*experiment.Exchange) error) (Info, error) {
	var info Info
	in := bufio.NewReaderSize(r, 256<<10)
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(in, head); err != nil || string(head) != magic {
		return info, fmt.Errorf("%w: it does not begin as one", ErrNoLedger)
	}
	info.Bytes = int64(len(magic))
	payload, err := nextFrame(in, nil)
	if err != nil || payload[0] != 'h' || json.Unmarshal(payload[1:], &info.Header) != nil {
		return info, fmt.Errorf("%w: its header cannot be read", ErrNoLedger)
	}
	if info.Version != version {
		return info, fmt.Errorf("%w of this version of chaosctl: its format is %d, not %d", ErrNoLedger, info.Version, version)
	}
	d := newDecoder(info.Base)
	for {
		info.Bytes += frameHead + int64(len(payload))
		if payload, err = nextFrame(in, payload); err == errFlipped {
			continue
		} else if err != nil {
			return info, brokenOff(err)
		}
		switch payload[0] {
		case 'x':
			first, n, requests, ok := chunkCounts(payload)
			if !ok {
				return info, nil
			}
			if f != nil {
				if err := d.chunk(payload[chunkHead:], first, n, f); err != nil {
					if errors.Is(err, errDamaged) {
						return info, nil // a defect of ours, or of whoever made the CRC fit
					}
					return info, err
				}
			}
			info.Exchanges, info.Requests = info.Exchanges+uint64(n-requests), info.Requests+uint64(requests)
		case 'e':
			var end ending
			if json.Unmarshal(payload[1:], &end) == nil {
				info.Lost, info.Why, info.Whole = end.Lost, end.Why, true
			}
			info.Bytes += frameHead + int64(len(payload))
			return info, nil
		}
	}
}

var (
	// errTorn ends a file before its ending.
	errTorn = errors.New("it breaks off")
	// errFlipped is of a frame that is whole, and not what was written.
	errFlipped = errors.New("it is damaged")
)

// brokenOff makes no error of a file that breaks off.
func brokenOff(err error) error {
	if errors.Is(err, errTorn) {
		return nil
	}
	return fmt.Errorf("read the ledger: %w", err)
}

// nextFrame reads a frame, into buf if it has room.
func nextFrame(in io.Reader, buf []byte) ([]byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, afterEOF(err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || n > mostFrame {
		return nil, errTorn
	}
	if cap(buf) < int(n) {
		buf = make([]byte, max(n, chunkSize+4<<10))
	}
	buf = buf[:n]
	if _, err := io.ReadFull(in, buf); err != nil {
		return nil, afterEOF(err)
	}
	if crc32.Checksum(buf, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return buf, errFlipped
	}
	return buf, nil
}

func afterEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}
