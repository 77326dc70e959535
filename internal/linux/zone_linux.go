package linux

import (
	"net"
	"strconv"
)

// zoneIndex is the number of an interface given by name or number; 0 if there is
// none.
func zoneIndex(zone string) uint32 {
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}
