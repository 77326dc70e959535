package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// helloTime is how long a caller has for its ClientHello, or for its first bytes
// where a ClientHello decides whose it is.
const helloTime = 10 * time.Second

// errHelloLate says that a caller has sent too little for too long.
var errHelloLate = errors.New("the caller has not sent a ClientHello in time")

// knock is a caller whom nothing has been answered yet. It reads ahead until
// somebody takes the connection over, and so notices the ClientHello, and a caller
// that leaves.
type knock struct {
	*net.TCPConn
	// config is what a TLS server on this connection goes by.
	config *tls.Config

	mu    sync.Mutex
	ahead []byte
	err   error // how the caller's side ended
	hello *hello
	bad   error // why there will be no hello
	told  func(readiness)

	heard chan struct{} // closed once hello or bad is set
	left  chan struct{} // closed once err is set
	done  chan struct{} // closed once nobody reads ahead any more
}

// newKnock makes one; listen has to be called once.
func newKnock(c *net.TCPConn) *knock {
	return &knock{TCPConn: c, heard: make(chan struct{}), left: make(chan struct{}), done: make(chan struct{})}
}

// listen reads ahead, at most as much as a ClientHello may be long, until stop is
// called or the caller's side ends.
func (k *knock) listen() {
	defer close(k.done)
	b := newBlock()
	defer b.release()
	var r helloReader
	heard := false
	for room := helloMost; room > 0; {
		n, err := k.TCPConn.Read(b.buf[:room])
		room -= n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
			room = 0
		}
		k.mu.Lock()
		k.ahead = append(k.ahead, b.buf[:n]...)
		if !heard {
			h, bad := r.next(k.ahead)
			if bad == errHelloShort && err != nil {
				bad = io.ErrUnexpectedEOF
			}
			if heard = bad != errHelloShort; heard {
				k.hello, k.bad = h, bad
				close(k.heard)
			}
		}
		if k.err = err; err != nil {
			close(k.left)
		}
		told := k.told
		k.mu.Unlock()
		if told != nil {
			told(readinessOf(err))
		}
		if err != nil {
			return
		}
	}
}

// readinessOf is what a wire has become ready for by a read.
func readinessOf(err error) readiness {
	broken := err != nil && err != io.EOF
	return readiness{readable: true, ending: err != nil, broken: broken, reset: broken}
}

// follow has somebody told of each read, and of those there were.
func (k *knock) follow(told func(readiness)) {
	k.mu.Lock()
	k.told = told
	some, err := len(k.ahead) > 0 || k.err != nil, k.err
	k.mu.Unlock()
	if some {
		told(readinessOf(err))
	}
}

// stop ends reading ahead: from then on Read gives what was read, and then what
// comes.
func (k *knock) stop() {
	k.SetReadDeadline(past)
	<-k.done
	k.SetReadDeadline(time.Time{})
}

// await returns the ClientHello, once it is there.
func (k *knock) await(ctx context.Context) (*hello, error) {
	t := time.NewTimer(helloTime)
	defer t.Stop()
	select {
	case <-k.heard:
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.hello, k.bad
	case <-t.C:
		return nil, errHelloLate
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Read is for whoever has called stop.
func (k *knock) Read(b []byte) (int, error) {
	k.mu.Lock()
	if len(k.ahead) > 0 {
		defer k.mu.Unlock()
		n := copy(b, k.ahead)
		k.ahead = k.ahead[n:]
		return n, nil
	}
	err := k.err
	k.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return k.TCPConn.Read(b)
}

// take returns what was read ahead, all of it, and forgets it.
func (k *knock) take() (b []byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b, k.ahead = k.ahead, nil
	return b, k.err
}

// knockWire is a knocking caller as the caller's wire of a connection: what has
// come can be read, to be lost, and nothing can be written.
type knockWire struct {
	*knock
	seen int // bytes of ahead that were read from it
}

func (w *knockWire) read(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := copy(b, w.ahead[min(w.seen, len(w.ahead)):]); n > 0 {
		w.seen += n
		return n, nil
	}
	if w.err != nil {
		return 0, w.err
	}
	return 0, errAgain
}

func (w *knockWire) write([][]byte) (int, error) { return 0, errAgain }
func (w *knockWire) shut()                       { w.CloseWrite() }
func (w *knockWire) flushing() bool              { return false }
func (w *knockWire) unsent() bool                { return false }

func (w *knockWire) close(reset bool) {
	if reset {
		w.SetLinger(0)
	}
	w.TCPConn.Close()
}
