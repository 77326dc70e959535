//go:build !linux

package relay

// newPoller is what loops wait with.
func newPoller(bool) (poller, error) { return newChannels(), nil }
