package device

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Line is the result for one write size.
type Line struct {
	Bytes  int     `json:"bytes"`
	Writes int64   `json:"writes"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	MBPerS float64 `json:"mb_per_s"`
}

func (l Line) String() string {
	return fmt.Sprintf("%d KiB: %.0f µs (p99 %.0f µs), %.0f MB/s", l.Bytes>>10, l.P50, l.P99, l.MBPerS)
}

const (
	fileBytes = 64 << 20
)

// Sizes are the write sizes that Measure uses.
var Sizes = []int{4 << 10, 64 << 10}

// Measure writes to a file in dir, for a while per size. The file is written once before, so
// that no blocks are allocated during the measurement.
func Measure(dir string, each time.Duration) (lines []Line, err error) {
	path := filepath.Join(dir, "device.probe")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_DIRECT|unix.O_DSYNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the disk cannot be measured: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	buf := aligned(1 << 20)
	for at := int64(0); at < fileBytes; at += int64(len(buf)) {
		if _, err := f.WriteAt(buf, at); err != nil {
			return nil, err
		}
	}
	for _, size := range Sizes {
		l, err := measure(f, buf[:size], each)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func measure(f *os.File, block []byte, d time.Duration) (Line, error) {
	h := hdrhistogram.New(1, 60_000_000, 2) // µs
	begin := time.Now()
	for at := int64(0); time.Since(begin) < d; at = (at + int64(len(block))) % fileBytes {
		start := time.Now()
		if _, err := f.WriteAt(block, at); err != nil {
			return Line{}, err
		}
		_ = h.RecordValue(max(1, time.Since(start).Microseconds())) // a write of over a minute is not recorded
	}
	n := h.TotalCount()
	return Line{Bytes: len(block), Writes: n, P50: float64(h.ValueAtQuantile(50)), P99: float64(h.ValueAtQuantile(99)),
		MBPerS: float64(n) * float64(len(block)) / time.Since(begin).Seconds() / 1e6}, nil
}

// aligned returns n random bytes, aligned for O_DIRECT.
func aligned(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		b = make([]byte, n) // the first write then reports the error
	}
	_, _ = rand.NewChaCha8([32]byte{'d'}).Read(b) // never fails
	return b
}
