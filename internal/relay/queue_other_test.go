//go:build !unix

package relay_test

import "errors"

func shortQueue(uintptr) error { return errors.ErrUnsupported }
