package object

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/meta"
)

// An object is a header, blocks and sections without gaps, a footer and a trailer. All
// integers are big-endian; CRC is CRC32C (Castagnoli); times are ms since epoch.
//
//	header, 40 bytes
//	   0  8  magic "SLUICOBJ"
//	   8  2  version 1
//	  10  2  reserved, zero
//	  12 16  object id
//	  28  8  created
//	  36  4  CRC of bytes 0 to 35
//
//	blocks: whole record batches (docs/formats/record-batch.md) of one partition,
//	in offset order. All blocks of a partition lie together.
//
//	sections, without gaps: snapshots of partitions' idempotent producers
//
//	footer
//	   0 16  object id
//	  16  8  created
//	  24  4  number of partitions
//	         version 2: 4 number of sections, at least 1
//	  then for each partition, sorted by topic id and index:
//	         0 16  topic id
//	        16  4  partition index
//	        20  4  number of blocks, at least 1
//	        24  8  where in the object the first block begins; then for each block:
//	                0  4  length
//	                4  4  CRC of the block
//	                8  8  base: first offset
//	               16  8  end: offset after the last
//	               24  8  max timestamp over its batches, or -1
//	  version 2: then for each section, in the order in which they lie:
//	         0 16  topic id
//	        16  4  partition index
//	        20  4  length
//	        24  4  CRC of the section
//	        28  8  end: the offset up to which it tells of the partition's log
//
//	trailer, 20 bytes, so that one read of the object's end finds the footer
//	   0  4  length of the footer
//	   4  2  version: 1, or 2 if there are sections
//	   6  2  reserved, zero
//	   8  4  CRC of the footer and bytes 0 to 7 of the trailer
//	  12  8  magic "SLUICEND"
const (
	headerMagic  = "SLUICOBJ"
	trailerMagic = "SLUICEND"
	version      = 1
	withSections = 2 // the version of footers that have sections

	headerSize      = 40
	footerFixedSize = 28
	rangeSize       = 32
	blockSize       = 32
	sectionSize     = 36
	trailerSize     = 20
)

const (
	// BlockBytes is the maximum size of a block. A larger batch gets its own block.
	BlockBytes = 256 << 10

	// MaxFooterBytes bounds the footer when writing and reading: more than a million
	// blocks.
	MaxFooterBytes = 64 << 20

	// suffixBytes is read first to find the footer: enough for 2,000 blocks.
	suffixBytes = 64 << 10
)

var (
	// ErrCorrupt: the bytes are not what was written.
	ErrCorrupt = fault.Lost(kerr.KafkaStorageError, "corrupt object")
	// ErrUnsupported: the object has a version that this build does not support.
	ErrUnsupported = fault.Lost(kerr.KafkaStorageError, "unsupported object version")
	// ErrOrder: batches were appended in an order that the format does not allow.
	ErrOrder = errors.New("batch out of order")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Key returns the object's key in the store. It starts with two hex digits of a
// hash, which spreads keys over the store's partitions and over a file system's
// directories.
func Key(id meta.ObjectID) string {
	return fmt.Sprintf("%02x/%s", byte(crc32.Checksum(id[:], castagnoli)), id)
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// checkVersion rejects a version or reserved field that this build cannot read.
func checkVersion(v, reserved, newest uint16) error {
	if v == 0 || v > newest || reserved != 0 {
		return fmt.Errorf("%w %d.%d; this build reads up to version %d, upgrade it", ErrUnsupported, v, reserved, newest)
	}
	return nil
}
