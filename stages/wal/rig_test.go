package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small returns a config with segments so small that tests fill, roll and recycle them.
func small() Config {
	c := DefaultConfig()
	c.SegmentSizeBytes, c.CapacityBytes = 64<<10, 256<<10
	c.IdleSeal = time.Minute // tests of seals set a shorter one
	return c
}

// fataler is implemented by rapid.T and testing.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newPool() *blockfs.Pool { return blockfs.NewPool(64 << 20) }

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

func open(t fataler, fs blockfs.FS, cfg Config) *Log {
	t.Helper()
	return openFor(t, fs, cfg, nothing)
}

func openFor(t fataler, fs blockfs.FS, cfg Config, done Done) *Log {
	t.Helper()
	l, err := Open(fs, cfg, deps(fs, done))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}

// deps returns dependencies with the guard on the log's disk, so that a crash hits both.
func deps(fs blockfs.FS, done Done) Deps {
	return Deps{Pool: newPool(), Done: done, Guard: fs, Logger: discard(), Registry: newRegistry()}
}

// Done functions: with nothing, no segment is reclaimed; with everything, all segments
// that are not held.
func nothing(topic.Partition, int64) bool    { return false }
func everything(topic.Partition, int64) bool { return true }

// opened returns an open, recovered log.
func opened(t fataler, fs blockfs.FS, cfg Config) *Log {
	t.Helper()
	return openedFor(t, fs, cfg, nothing)
}

func openedFor(t fataler, fs blockfs.FS, cfg Config, done Done) *Log {
	t.Helper()
	l := openFor(t, fs, cfg, done)
	if _, err := l.Recover(context.Background(), func(Recovered) error { return nil }); err != nil {
		t.Fatalf("recover: %v", err)
	}
	return l
}

// rig runs a log's stage without a graph.
type rig struct {
	log  *Log
	emit pipeline.Emit[*flow.Group]
	done chan error
	shut func()

	mu   sync.Mutex
	out  []*flow.Group // durable groups, in the order emitted
	err  []error       // verdicts, in order
	hold chan struct{} // if not nil, emitting waits for it

	settled func(*flow.Group, error) // if not nil, called with each verdict first
}

func start(l *Log) *rig {
	r := &rig{log: l, done: make(chan error, 1)}
	in, emit, shut := pipeline.Pipe[*flow.Group](16)
	r.emit, r.shut = emit, shut
	go func() { r.done <- l.Run(context.Background(), in, r.pass) }()
	return r
}

func (r *rig) pass(_ context.Context, p pipeline.Parcel[*flow.Group]) error {
	if r.hold != nil {
		<-r.hold
	}
	g := p.Body
	if g.Image != nil {
		g.Image.Retain() // as the cache does
	}
	r.mu.Lock()
	r.out = append(r.out, g)
	r.mu.Unlock()
	p.Settle(nil)
	return nil
}

// submit submits g with its image, as the batch stage does. settled receives the verdict.
func (r *rig) submit(g *flow.Group) (settled <-chan error) {
	c := make(chan error, 1)
	if err := r.log.Image(context.Background(), g); err != nil {
		panic(err)
	}
	receipt := pipeline.NewReceipt(func(err error) {
		if g.Image != nil {
			g.Image.Release()
		}
		if r.settled != nil {
			r.settled(g, err)
		}
		r.mu.Lock()
		r.err = append(r.err, err)
		r.mu.Unlock()
		c <- err
	})
	_ = r.emit(context.Background(), pipeline.Parcel[*flow.Group]{Body: g, Size: g.Bytes, Receipt: receipt})
	return c
}

// write submits groups one by one and waits for each.
func (r *rig) write(t fataler, groups ...*flow.Group) {
	t.Helper()
	for _, g := range groups {
		if err := <-r.submit(g); err != nil {
			t.Fatalf("write: %v", err)
		}
	}
}

// stop ends the stage as a drain does. The log stays open for reads.
func (r *rig) stop(t fataler) {
	t.Helper()
	r.shut()
	if err := <-r.done; err != nil {
		t.Fatalf("run: %v", err)
	}
}

func (r *rig) close(t fataler) {
	t.Helper()
	r.stop(t)
	r.release()
	if err := r.log.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// release releases the images of emitted groups.
func (r *rig) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.out {
		if g.Image != nil {
			g.Image.Release()
		}
	}
	r.out = nil
}

// source makes groups of unique batches.
type source struct{ made int64 }

var aTopic = topic.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// group makes a group of batches with values of the given sizes.
func (s *source) group(sizes ...int) *flow.Group {
	g := &flow.Group{Seq: uint64(s.made) + 1}
	w := &flow.Write{}
	for _, size := range sizes {
		a := s.append(size)
		w.Appends = append(w.Appends, a)
		w.Bytes += int64(len(a.Batch))
	}
	g.Writes, g.Bytes = []*flow.Write{w}, w.Bytes
	return g
}

func (s *source) append(size int) *flow.Append {
	value := bytes.Repeat([]byte{byte(s.made), byte(s.made >> 8), 7}, size/3+1)[:size]
	copy(value, fmt.Sprint(s.made, " "))
	b := record.NewBuilder()
	b.BaseOffset, b.Epoch = s.made, int32(s.made%5)
	batch, err := b.Add(1, nil, value).Build()
	if err != nil {
		panic(err)
	}
	a := &flow.Append{Partition: topic.Partition{Topic: aTopic, Index: int32(s.made % 3)}, Batch: batch,
		BaseOffset: s.made, Epoch: int32(s.made % 5)}
	s.made++
	return a
}

// appends returns the appends of groups that write something.
func appends(groups ...*flow.Group) (out []*flow.Append) {
	for _, g := range groups {
		for _, w := range g.Writes {
			for _, a := range w.Appends {
				if a.Writes() {
					out = append(out, a)
				}
			}
		}
	}
	return out
}

// recoverAll opens a log and returns clones of all recovered batches.
func recoverAll(t fataler, fs blockfs.FS, cfg Config) ([]Recovered, Report) {
	t.Helper()
	l := open(t, fs, cfg)
	defer l.Close()
	got, report, err := recovered(l)
	if err != nil {
		t.Fatalf("recover: %v", err)
	}
	return got, report
}

func recovered(l *Log) (got []Recovered, report Report, err error) {
	report, err = l.Recover(context.Background(), func(r Recovered) error {
		if r.Damaged {
			return nil
		}
		r.Batch = bytes.Clone(r.Batch)
		got = append(got, r)
		return nil
	})
	return got, report, err
}

// same returns an error if got differs from what was written.
func same(got []Recovered, want []*flow.Append) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d batches recovered, %d were written", len(got), len(want))
	}
	for i, a := range want {
		r := got[i]
		switch {
		case r.Base != a.BaseOffset || r.Epoch != a.Epoch || r.Partition != a.Partition:
			return fmt.Errorf("batch %d is %s at %d in epoch %d, want %s at %d in epoch %d",
				i, r.Partition, r.Base, r.Epoch, a.Partition, a.BaseOffset, a.Epoch)
		case !bytes.Equal(r.Batch, a.Batch) || int(r.Size) != len(a.Batch):
			return fmt.Errorf("batch %d differs from what was written", i)
		case a.At != 0 && r.Position != r.Group+partition.Position(a.At):
			return fmt.Errorf("batch %d is at %d of its group, was written to %d", i, r.Position-r.Group, a.At)
		}
	}
	return nil
}

func entryOf(g *flow.Group, a *flow.Append) partition.Entry {
	return partition.Entry{Base: a.BaseOffset, Position: g.Position + partition.Position(a.At), Group: g.Position, Size: int32(len(a.Batch)), Epoch: a.Epoch}
}

var errDisk = errors.New("input/output error")

// eventually waits until is returns true, or fails the test.
func eventually(t fataler, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
