//go:build !linux

package relay

import "net"

// ownWire makes a wire of a caller's socket.
func (c *conn) ownWire(t *net.TCPConn) (wire, int, error) { return newNetWire(t, c, Up), -1, nil }
