//go:build !unix

package relay

import "math"

// fileLimit is how many descriptors the process may have; there is no limit.
func fileLimit() int { return math.MaxInt32 }
