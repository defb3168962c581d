package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
)

// rotten is a log written in several runs, with recycled segments, the last of which was
// closed cleanly, and earlier states of its disk.
type rotten struct {
	t    *testing.T
	seed uint64
	cfg  Config
	h    *history
	disk *crashfs.FS
	old  []*crashfs.FS
}

func newRotten(t *testing.T, seed uint64) *rotten {
	cfg := small()
	cfg.CapacityBytes = 512 << 10
	k := &rotten{t: t, seed: seed, cfg: cfg, h: &history{}, disk: crashfs.New(1 << 20)}
	r, src := rand.New(rand.NewPCG(seed, 2)), &source{}
	runs := 1 + r.IntN(3)
	for run := range runs {
		g := start(openedFor(t, k.disk, cfg, k.h.uploaded))
		g.settled = k.h.settled
		for range r.IntN(40) * min(1, r.IntN(3)) { // often no groups at all
			if used, capacity := g.log.Usage(); used > capacity/2 {
				k.h.upload(g.log)
				k.old = append(k.old, k.disk.Crash(crashfs.Everything, nil))
			}
			group := src.group(sizes(r)...)
			k.h.submitted(group)
			g.write(t, group)
			if r.IntN(12) == 0 {
				truncate(t, g.log, k.h, r.IntN(1000))
			}
		}
		killed := k.disk.Crash(crashfs.Everything, nil) // before the seal
		k.old = append(k.old, killed)
		g.close(t)
		if run+1 < runs && r.IntN(2) == 0 {
			k.disk = killed.Crash(crashfs.Everything, nil) // a copy, so that later writes do not change the old disk
		}
	}
	return k
}

// place is a block of a file.
type place struct {
	name string
	off  int64
}

func somewhere(t *testing.T, fs *crashfs.FS, r *rand.Rand, prefix string) (p place, ok bool) {
	t.Helper()
	names, err := fs.List()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range names {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			all = append(all, name)
		}
	}
	if len(all) == 0 {
		return p, false
	}
	return place{all[r.IntN(len(all))], r.Int64N(64<<10/blockfs.BlockSize) * blockfs.BlockSize}, true
}

func readBlock(t *testing.T, fs *crashfs.FS, p place) []byte {
	t.Helper()
	f, err := fs.Open(p.name)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, blockfs.BlockSize)
	if _, err := f.ReadAt(b, p.off); err != nil {
		t.Fatal(err)
	}
	return b
}

// damage damages a live segment in one way and returns a description.
func (k *rotten) damage(disk *crashfs.FS, r *rand.Rand) string {
	at, _ := somewhere(k.t, disk, r, segmentPrefix)
	from := disk
	source, _ := somewhere(k.t, disk, r, segmentPrefix)
	kind := r.IntN(4)
	if kind == 3 { // a block from an earlier state
		from = k.old[r.IntN(len(k.old))]
		source, _ = somewhere(k.t, from, r, segmentPrefix)
		source.off = at.off
	}
	var what string
	disk.Damage(at.name, at.off, blockfs.BlockSize, func(p []byte) {
		switch kind {
		case 0:
			bit := r.IntN(len(p) * 8)
			p[bit/8] ^= 1 << (bit % 8)
			what = fmt.Sprintf("bit %d flipped", bit)
		case 1:
			sector := r.IntN(len(p) / 512)
			clear(p[sector*512 : (sector+1)*512])
			what = fmt.Sprintf("sector %d zeroed", sector)
		}
	})
	if kind >= 2 {
		block := readBlock(k.t, from, source)
		disk.Damage(at.name, at.off, blockfs.BlockSize, func(p []byte) { copy(p, block) })
		what = fmt.Sprintf("block of %v, stale: %t", source, kind == 3)
	}
	return fmt.Sprintf("%v: %s", at, what)
}

// verify damages the log and recovers it: no batch may be wrong, and none may be missing
// without a report.
func (k *rotten) verify(seed uint64) {
	disk := k.disk.Crash(crashfs.Everything, nil)
	what := k.damage(disk, rand.New(rand.NewPCG(seed, 3)))
	d := deps(disk, nothing)
	d.AcceptLost = true // what is recovered despite a loss must be correct too
	l, err := Open(disk, k.cfg, d)
	if err != nil {
		k.t.Fatal(err)
	}
	defer l.Close()
	got, report, err := recovered(l)
	switch {
	case err != nil && !errors.Is(err, ErrCorrupt):
	case err != nil:
		return // reported
	default:
		err = k.h.checkRotten(got)
		if err == nil && len(report.Corruptions) == 0 && testutil.ToFloat64(l.metrics.corruptions) == 0 {
			err = k.h.check(got, k.h.state())
		}
		if err == nil {
			err = k.read(l)
		}
	}
	if err != nil {
		k.t.Errorf("log %d, damage %d, %s: %v\n%+v", k.seed, seed, what, err, report)
	}
}

// read reads all batches at their positions, singly and in one call: each is intact or an
// error.
func (k *rotten) read(l *Log) error {
	many := make([]*partition.Read, len(k.h.appends))
	for i, w := range k.h.appends {
		many[i] = &partition.Read{Entry: w.entry(), Into: make([]byte, len(w.batch))}
	}
	l.ReadMany(context.Background(), slices.Clone(many))
	for i, w := range k.h.appends {
		dst := make(record.Batch, len(w.batch))
		err := l.ReadAt(context.Background(), w.entry(), dst)
		if err == nil && !bytes.Equal(dst, w.batch) {
			return fmt.Errorf("the batch at offset %d is read wrong", w.base)
		}
		if r := many[i]; (err == nil) != (r.Err == nil) || err == nil && !bytes.Equal(r.Into, w.batch) {
			return fmt.Errorf("the batch at offset %d is read among many as %v, alone as %v", w.base, r.Err, err)
		}
	}
	return nil
}

// TestCorruptions damages logs that were closed cleanly, once each, 20,000 times: flipped
// bits, zeroed sectors, misplaced blocks and lost writes. SLUICE_CORRUPTIONS overrides the
// number.
func TestCorruptions(t *testing.T) {
	const each = 250
	want := count(t, "SLUICE_CORRUPTIONS", 2000, 20_000)
	for seed := uint64(1); int(seed-1)*each < want && !t.Failed(); seed++ {
		k := newRotten(t, seed)
		var verifiers sync.WaitGroup
		n := runtime.GOMAXPROCS(0)
		for i := range n {
			verifiers.Go(func() {
				for harm := i; harm < each && !t.Failed(); harm += n {
					k.verify(uint64(harm))
				}
			})
		}
		verifiers.Wait()
	}
}
