package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/blockfs/crashfs"
)

// guarded returns a log of several segments, the first of which is reclaimed, either
// after a clean stop or after the process was killed shortly after the last group.
func guarded(t *testing.T, stopped bool) (*crashfs.FS, *history) {
	t.Helper()
	cfg := small()
	cfg.CapacityBytes = 1 << 20
	disk, h, src := crashfs.New(4<<20), &history{}, &source{}
	l := openedFor(t, disk, cfg, h.uploaded)
	r := start(l)
	r.settled = h.settled
	write := func(n int) {
		for range n {
			g := src.group(20_000)
			h.submitted(g)
			r.write(t, g)
		}
	}
	write(6)
	h.upload(l)
	eventually(t, "segments are reclaimed", func() bool { return l.segments.first() > 0 })
	write(7)
	eventually(t, "the guard knows the newest segment", func() bool {
		l.guard.lock <- struct{}{}
		defer func() { <-l.guard.lock }()
		return l.guard.now.newest == l.active.start
	})
	killed := disk.Kill()
	r.close(t)
	if stopped {
		return disk, h
	}
	return killed, h
}

func segmentsOf(t *testing.T, disk *crashfs.FS) (names []string) {
	t.Helper()
	all, err := disk.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasPrefix(name, segmentPrefix) {
			names = append(names, name)
		}
	}
	return names
}

// outcome recovers a log and returns the result: refused, reported, or nil if it
// is complete.
func outcome(t *testing.T, disk *crashfs.FS, h *history, change func(*Deps)) error {
	t.Helper()
	d := deps(disk, nothing)
	if change != nil {
		change(&d)
	}
	cfg := small()
	cfg.CapacityBytes = 1 << 20
	l, err := Open(disk, cfg, d)
	if err != nil {
		return err
	}
	defer l.Close()
	got, report, err := recovered(l)
	switch {
	case err != nil:
		return err
	case len(report.Corruptions) > 0:
		return fmt.Errorf("%w: %v", ErrCorrupt, report.Corruptions)
	case d.AcceptLost:
		return nil
	}
	if err := h.check(got, h.state()); err != nil {
		t.Errorf("silent: %v", err)
	}
	return nil
}

// Removes, truncates, empties and swaps each segment.
func TestGuardNoticesEveryMissingPart(t *testing.T) {
	for _, stopped := range []bool{true, false} {
		disk, h := guarded(t, stopped)
		old := disk
		if err := outcome(t, disk.Kill(), h, nil); err != nil {
			t.Fatalf("untouched log: %v", err)
		}
		names := segmentsOf(t, disk)
		if len(names) < 3 {
			t.Fatalf("%d segments", len(names))
		}
		for i, name := range names {
			last := i == len(names)-1
			gone := disk.Kill()
			if err := gone.Remove(name); err != nil {
				t.Fatal(err)
			}
			if err := outcome(t, gone, h, nil); !errors.Is(err, ErrLost) {
				t.Errorf("stopped %t, %s removed: %v", stopped, name, err)
			}
			for _, length := range []int64{0, 100, 4096, 5000, 20_480, 40_960, 61_440} {
				short := disk.Kill()
				short.Truncate(name, length)
				err := outcome(t, short, h, nil)
				if err == nil && (!last && length < 61_440 || last && stopped && length <= 20_480) {
					t.Errorf("stopped %t, %s truncated to %d bytes: not reported", stopped, name, length)
				}
			}
			if !stopped && last {
				continue // indistinguishable from a torn tail
			}
			empty := disk.Kill()
			empty.Damage(name, blockfs.BlockSize, 60_000, func(b []byte) { clear(b) })
			if err := outcome(t, empty, h, nil); err == nil {
				t.Errorf("stopped %t, %s zeroed: not reported", stopped, name)
			}
		}
		none := old.Kill()
		for _, name := range names {
			if err := none.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		if err := outcome(t, none, h, nil); !errors.Is(err, ErrLost) {
			t.Errorf("all segments removed: %v", err)
		}
	}
}

// Restores old segments next to the current guard.
func TestGuardNoticesAnOldCopy(t *testing.T) {
	cfg := small()
	cfg.CapacityBytes = 1 << 20
	log, guardDisk, src := crashfs.New(4<<20), crashfs.New(1<<20), &source{}
	run := func(disk *crashfs.FS, groups int) error {
		d := deps(disk, nothing)
		d.Guard = guardDisk
		l, err := Open(disk, cfg, d)
		if err != nil {
			return err
		}
		if _, _, err := recovered(l); err != nil {
			return errors.Join(err, l.Close())
		}
		r := start(l)
		for range groups {
			r.write(t, src.group(3000))
		}
		r.close(t)
		return nil
	}
	if err := run(log, 3); err != nil {
		t.Fatal(err)
	}
	old := log.Kill()
	if err := run(log, 3); err != nil {
		t.Fatal(err)
	}
	if err := run(old, 1); !errors.Is(err, ErrLost) {
		t.Errorf("an old copy: %v", err)
	}
	if err := run(log, 1); err != nil {
		t.Errorf("the current log: %v", err)
	}
}

// After a loss was accepted, later starts succeed unless more is lost.
func TestLossIsAcceptedOnce(t *testing.T) {
	accept := func(d *Deps) { d.AcceptLost = true }
	damageHead := func(segment int, block int64) func(*testing.T, *crashfs.FS) {
		return func(t *testing.T, d *crashfs.FS) {
			d.Damage(segmentsOf(t, d)[segment], block*blockfs.BlockSize, 64, func(b []byte) { b[20]++ })
		}
	}
	remove := func(segment int) func(*testing.T, *crashfs.FS) {
		return func(t *testing.T, d *crashfs.FS) {
			if err := d.Remove(segmentsOf(t, d)[segment]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, harm := range map[string]func(*testing.T, *crashfs.FS){
		"the newest segment removed": remove(3), "one in the middle removed": remove(1), "the oldest removed": remove(0), "a head damaged": damageHead(0, 1),
	} {
		t.Run(name, func(t *testing.T) {
			disk, h := guarded(t, true)
			harm(t, disk)
			if err := outcome(t, disk, h, nil); !errors.Is(err, ErrLost) {
				t.Fatal(err)
			}
			if err := outcome(t, disk, h, accept); err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			for range 3 {
				if got, _ := recoverAll(t, disk, small()); len(got) == 0 {
					t.Error("nothing readable is left")
				}
			}
			if name == "the newest segment removed" {
				return
			}
			more := disk.Kill()
			damageHead(len(segmentsOf(t, more))-1, 1)(t, more)
			if err := outcome(t, more, h, nil); !errors.Is(err, ErrLost) {
				t.Errorf("more was lost than accepted: %v", err)
			}
		})
	}
}

// Either block of the guard may be lost, but not both, nor the whole file.
func TestDamagedGuard(t *testing.T) {
	disk, h := guarded(t, true)
	r := rand.New(rand.NewPCG(1, 2))
	for block := range int64(2) {
		for range 20 {
			harmed := disk.Kill()
			harmed.Damage(guardName, block*blockfs.BlockSize, blockfs.BlockSize, func(b []byte) { b[r.IntN(64)] ^= 1 << r.IntN(8) })
			if err := outcome(t, harmed, h, nil); err != nil {
				t.Errorf("one block damaged: %v", err)
			}
		}
	}
	both := disk.Kill()
	both.Damage(guardName, 0, 2*blockfs.BlockSize, func(b []byte) { b[20]++; b[blockfs.BlockSize+20]++ })
	gone := disk.Kill()
	if err := gone.Remove(guardName); err != nil {
		t.Fatal(err)
	}
	zeroed := disk.Kill()
	zeroed.Damage(guardName, 0, 2*blockfs.BlockSize, func(b []byte) { clear(b) })
	for what, disk := range map[string]*crashfs.FS{"both blocks damaged": both, "removed": gone, "zeroed": zeroed} {
		if err := outcome(t, disk, h, nil); !errors.Is(err, ErrLost) {
			t.Errorf("%s: %v", what, err)
		}
		if err := outcome(t, disk, h, func(d *Deps) { d.AcceptLost = true }); err != nil {
			t.Errorf("%s, accepted: %v", what, err)
		}
		if err := outcome(t, disk, h, nil); err != nil {
			t.Errorf("%s, accepted before: %v", what, err)
		}
	}
}

// Log and guard match each other, but the metadata shows that another process has owned
// the log since. A crash at any point of taking over ownership causes no mismatch.
func TestOlderCopyWithItsGuardIsNoticed(t *testing.T) {
	disk, onRecord := crashfs.New(4<<20), uuid.Nil
	src := &source{}
	died := errors.New("died")
	open := func(disk *crashfs.FS, dies func() error) error {
		d := deps(disk, nothing)
		owner := onRecord
		d.Owner = &owner
		l, err := Open(disk, small(), d)
		if err != nil {
			return err
		}
		if _, _, err := recovered(l); err != nil {
			return errors.Join(err, l.Close())
		}
		process := uuid.New()
		if err := l.TakeOver(process, func() error { onRecord = process; return dies() }); err != nil {
			return errors.Join(err, l.Close())
		}
		r := start(l)
		r.write(t, src.group(3000))
		r.close(t)
		return nil
	}
	lives := func() error { return nil }
	if err := open(disk, lives); err != nil {
		t.Fatal(err)
	}
	first, before := disk.Kill(), onRecord
	if err := open(disk, func() error { onRecord = before; return died }); !errors.Is(err, died) { // not recorded yet
		t.Fatal(err)
	}
	if err := open(disk, func() error { return died }); !errors.Is(err, died) { // recorded, but not in the guard
		t.Fatal(err)
	}
	for range 2 {
		if err := open(disk, lives); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(first, lives); !errors.Is(err, ErrLost) {
		t.Errorf("an older log with its guard: %v", err)
	}
	now := onRecord
	onRecord = before
	if err := open(disk, lives); !errors.Is(err, ErrLost) {
		t.Errorf("older metadata: %v", err)
	}
	onRecord = now
	if err := open(disk, lives); err != nil {
		t.Errorf("the current ones: %v", err)
	}
}

// A log with batches is accepted only if it is the one recorded in the metadata.
func TestLogMustBeTheRecordedOne(t *testing.T) {
	disk, h := guarded(t, true)
	on := func(id uuid.UUID) func(*Deps) { return func(d *Deps) { d.OnRecord = &id } }
	l := opened(t, disk.Kill(), small())
	id := l.ID()
	l.Close()
	for _, c := range []struct {
		what string
		disk *crashfs.FS
		id   uuid.UUID
		want error
	}{
		{"the one", disk, id, nil},
		{"another", disk, uuid.New(), ErrForeign},
		{"none, but there is a log with batches", disk, uuid.Nil, ErrForeign},
		{"one, but there is none", crashfs.New(1 << 20), id, ErrLost},
	} {
		if err := outcome(t, c.disk.Kill(), h, on(c.id)); !errors.Is(err, c.want) {
			t.Errorf("recorded is %s: %v, want %v", c.what, err, c.want)
		}
	}
	if err := outcome(t, crashfs.New(1<<20), &history{}, on(uuid.Nil)); err != nil {
		t.Errorf("none recorded, and there is none: %v", err)
	}
	empty := crashfs.New(1 << 20)
	opened(t, empty, small()).Close() // died before it was recorded
	if err := outcome(t, empty, &history{}, on(uuid.Nil)); err != nil {
		t.Errorf("an empty log that is not recorded: %v", err)
	}
}

// TestGoldenGuard pins the guard's format.
func TestGoldenGuard(t *testing.T) {
	disk := crashfs.New(1 << 20)
	g, err := openGuard(disk, false)
	if err != nil {
		t.Fatal(err)
	}
	want := extent{wal: uuid.UUID(aTopic), oldest: 4096, newest: 1 << 20, durable: 77, process: uuid.UUID{5}, next: uuid.UUID{6}, accepted: [maxAccepted]hole{{7, 9}}}
	if err := g.update(func(e *extent) { *e = want }); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 112)
	if _, err := g.file.ReadAt(block, blockfs.BlockSize); err != nil {
		t.Fatal(err)
	}
	const golden = "534c5549434557470300000035b905e50102030405060708090a0b0c0d0e0f100100000000000000001000000000000000001000000000004d00000000000000050000000000000000000000000000000600000000000000000000000000000007000000000000000900000000000000"
	if got := fmt.Sprintf("%x", block); got != golden {
		t.Errorf("the guard is\n%s, want\n%s", got, golden)
	}
	if err := g.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openGuard(disk, false)
	if err != nil || again.now != want || !again.known {
		t.Errorf("%+v, %v", again, err)
	}
	again.close()
}

// If intact groups follow, damage is not mistaken for a torn tail.
func TestDamageInTheMiddleIsNoTornTail(t *testing.T) {
	for name, harm := range map[string]func(*crashfs.FS, string){
		"nothing": func(*crashfs.FS, string) {},
		"a body": func(d *crashfs.FS, segment string) {
			d.Damage(segment, 2*blockfs.BlockSize, 64, func(b []byte) { b[20]++ })
		},
		"a head": func(d *crashfs.FS, segment string) {
			d.Damage(segment, blockfs.BlockSize, 64, func(b []byte) { b[20]++ })
		},
	} {
		disk, _ := guarded(t, true)
		harm(disk, segmentsOf(t, disk)[0])
		cfg := small()
		cfg.CapacityBytes = 1 << 20
		d := deps(disk, nothing)
		d.AcceptLost = true
		l, err := Open(disk, cfg, d)
		if err != nil {
			t.Fatal(err)
		}
		_, report, err := recovered(l)
		if err := errors.Join(err, l.Close()); err != nil {
			t.Fatal(err)
		}
		if damaged := name != "nothing"; report.Torn || damaged != (len(report.Corruptions) == 1) {
			t.Errorf("%s: torn %t, %v", name, report.Torn, report.Corruptions)
		}
	}
}
