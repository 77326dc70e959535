package relay

// newPoller is what loops wait with.
func newPoller(portable bool) (poller, error) {
	if portable {
		return newChannels(), nil
	}
	return newEpoll()
}
