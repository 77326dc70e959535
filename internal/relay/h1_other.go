//go:build !linux

package relay

import (
	"errors"
	"net"
)

// h1Loops tells whether loops can carry connections of HTTP edges.
const h1Loops = false

func (c *h1Conn) adopt(int, int) {}

func copyOf(*net.TCPConn) (int, error) { return -1, errors.ErrUnsupported }
