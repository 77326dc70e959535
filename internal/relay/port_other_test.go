//go:build !linux

package relay_test

const portIsKept = false
