//go:build race

package ledger

// raceOn: the race detector is on, with which tables take ten times as long.
const raceOn = true
