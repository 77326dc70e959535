//go:build unix

package ca

import (
	"os"
	"syscall"
)

// ours tells whether a file is the user's, or root's.
func ours(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == uint32(os.Geteuid()) || s.Uid == 0)
}

// exposed tells whether others may read or write a file.
func exposed(info os.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
