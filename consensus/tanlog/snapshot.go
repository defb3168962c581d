package tanlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/lni/dragonboat/v4/raftpb"
)

// A snapshot file is a header of 1 KiB (length in 8 bytes, a protobuf message, zeros), then
// blocks of 2 MiB, each followed by a CRC-32, the last one shorter, then their total size in 8
// bytes and a magic of 8 bytes.
const (
	snapshotHeaderBytes = 1024
	snapshotBlockBytes  = 2 << 20
	snapshotTailBytes   = 16
	snapshotVersion     = 2
)

var snapshotMagic = []byte{0x3F, 0x5B, 0xCB, 0xF1, 0xFA, 0xBA, 0x81, 0x9F}

// ErrSnapshot means that a snapshot file is not as it was written.
var ErrSnapshot = errors.New("damaged snapshot")

// CheckSnapshot reads a whole snapshot file of that size. payload is the checksum of its
// content recorded in the log.
func CheckSnapshot(in io.Reader, size int64, payload []byte) error {
	header := make([]byte, snapshotHeaderBytes)
	if _, err := io.ReadFull(in, header); err != nil {
		return fmt.Errorf("%w: header: %w", ErrSnapshot, err)
	}
	h, err := decodeHeader(header)
	if err != nil {
		return err
	}
	total := size - snapshotHeaderBytes - snapshotTailBytes
	if total < 0 {
		return fmt.Errorf("%w: %d bytes", ErrSnapshot, size)
	}
	sum, err := checkBlocks(in, total)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, h.PayloadChecksum) || !bytes.Equal(sum, payload) {
		return fmt.Errorf("%w: it is not the one recorded in the log", ErrSnapshot)
	}
	tail := make([]byte, snapshotTailBytes)
	if _, err := io.ReadFull(in, tail); err != nil {
		return fmt.Errorf("%w: end: %w", ErrSnapshot, err)
	}
	if binary.LittleEndian.Uint64(tail) != uint64(total) || !bytes.Equal(tail[8:], snapshotMagic) {
		return fmt.Errorf("%w: its end", ErrSnapshot)
	}
	return nil
}

// checkBlocks reads blocks of total bytes together and returns the checksum of their checksums.
func checkBlocks(in io.Reader, total int64) ([]byte, error) {
	sums := crc32.NewIEEE()
	block := make([]byte, min(total, snapshotBlockBytes+4))
	for left := total; left > 0; {
		b := block[:min(left, int64(len(block)))]
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
		if len(b) <= 4 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
			return nil, fmt.Errorf("%w: checksum of the block at %d", ErrSnapshot, total-left+snapshotHeaderBytes)
		}
		_, _ = sums.Write(b[len(b)-4:]) // hash.Hash never fails
		left -= int64(len(b))
	}
	return sums.Sum(nil), nil
}

// decodeHeader decodes a header. Its checksum covers everything but itself. Every byte must be
// as dragonboat writes it, since dragonboat panics on what it does not accept, and takes four
// bytes after the message for a checksum unless they are zero.
func decodeHeader(header []byte) (h raftpb.SnapshotHeader, err error) {
	length := binary.LittleEndian.Uint64(header)
	if length > snapshotHeaderBytes-12 {
		return h, fmt.Errorf("%w: header of %d bytes", ErrSnapshot, length)
	}
	message := header[8 : 8+length]
	if len(bytes.TrimRight(header[8+length:], "\x00")) > 0 {
		return h, fmt.Errorf("%w: unexpected bytes after the header", ErrSnapshot)
	}
	if err := h.Unmarshal(message); err != nil {
		return h, fmt.Errorf("%w: header: %w", ErrSnapshot, err)
	}
	if again, err := h.Marshal(); err != nil || !bytes.Equal(again, message) {
		return h, fmt.Errorf("%w: the header is not in its canonical form", ErrSnapshot)
	}
	rest := h
	rest.HeaderChecksum = nil
	b, err := rest.Marshal()
	if err != nil {
		return h, fmt.Errorf("%w: header: %w", ErrSnapshot, err)
	}
	if len(h.HeaderChecksum) != 4 || crc32.ChecksumIEEE(b) != binary.BigEndian.Uint32(h.HeaderChecksum) {
		return h, fmt.Errorf("%w: checksum of the header", ErrSnapshot)
	}
	if h.Version != snapshotVersion || h.ChecksumType != raftpb.CRC32IEEE || h.CompressionType != raftpb.NoCompression {
		return h, fmt.Errorf("%w: version %d, checksum type %d, compression %d", ErrSnapshot, h.Version, h.ChecksumType, h.CompressionType)
	}
	return h, nil
}
