package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// A journal is a first line and then frames: the length of the record in four
// bytes, little-endian, a CRC-32C over those and the record in four more, and
// the record. The sum covers the length so that no run of zeros, which a file
// system may leave behind after a crash, is a frame.

// header is the first line; its number is the version of the format.
const header = "chaosctl journal 1\n"

// MaxRecord is the size of the largest record, in bytes.
const MaxRecord = 1 << 20

// prefix is the size of what stands before a record.
const prefix = 8

// checksum is the CRC-32C of a record and of its length. The table is made once
// by the hash/crc32 package.
func checksum(length, rec []byte) uint32 {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, rec)
}

// frame puts a record into a frame.
func frame(rec []byte) []byte {
	b := make([]byte, prefix, prefix+len(rec))
	binary.LittleEndian.PutUint32(b, uint32(len(rec)))
	binary.LittleEndian.PutUint32(b[4:], checksum(b[:4], rec))
	return append(b, rec...)
}

// unframe takes the frame at the start of b apart; ok is false if there is no
// whole one.
func unframe(b []byte) (rec []byte, ok bool) {
	if len(b) < prefix {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if n > MaxRecord || int(n) > len(b)-prefix {
		return nil, false
	}
	rec = b[prefix : prefix+int(n)]
	return rec, checksum(b[:4], rec) == binary.LittleEndian.Uint32(b[4:])
}

// replay reads a journal. good is where its last whole record ends; what stands
// behind that is a torn tail. It is ErrCorrupt instead if a whole record comes
// after it, because then it was no crash that left it unfinished; records holds
// those before it.
func replay(b []byte) (records [][]byte, good int, err error) {
	if rest, ok := bytes.CutPrefix(b, []byte(header)); !ok {
		return nil, 0, headerError(b)
	} else {
		good = len(b) - len(rest)
	}
	for good < len(b) {
		rec, ok := unframe(b[good:])
		if !ok {
			if at, found := nextFrame(b, good+1); found {
				return records, good, fmt.Errorf("%w: no record can be read at byte %d, but the next one at byte %d can", ErrCorrupt, good, at)
			}
			return records, good, nil
		}
		records = append(records, rec)
		good += prefix + len(rec)
	}
	return records, good, nil
}

// nextFrame looks for a whole frame at or after from.
func nextFrame(b []byte, from int) (at int, found bool) {
	for ; from+prefix <= len(b); from++ {
		if _, ok := unframe(b[from:]); ok {
			return from, true
		}
	}
	return 0, false
}

// headerError says what is wrong with a first line that is not ours; nil if it
// was torn off while the journal was made, so that there was no record yet.
func headerError(b []byte) error {
	if strings.HasPrefix(header, string(b)) {
		return nil
	}
	line, _, _ := bytes.Cut(b[:min(len(b), 40)], []byte("\n"))
	if bytes.HasPrefix(b, []byte(header[:len(header)-2])) {
		return fmt.Errorf("%w, or of another version of chaosctl: its first line is %q, not %q", ErrCorrupt, line, header)
	}
	return fmt.Errorf("%w, or no journal at all: its first line is %q", ErrCorrupt, line)
}
