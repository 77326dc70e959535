//go:build !linux

package relay

import (
	"errors"
	"sync/atomic"
)

// pipes: there is no splice here; bytes are copied.
type pipes struct {
	open *atomic.Int32
	most int32
	many func()
}

// spliceBytes is how much one splice moves at most.
const spliceBytes = 1 << 20

type channel struct{ held int }

func (c *channel) release() {}

func (p *pipes) take() *channel { return nil }
func (p *pipes) give(*channel)  {}
func (p *pipes) close()         {}
func (p *pipes) trim()          {}

func (c *channel) fill(*end, int) (int, error) { return 0, errors.ErrUnsupported }
func (c *channel) drain(*end) (int, error)     { return 0, errors.ErrUnsupported }
