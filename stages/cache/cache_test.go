package cache_test

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline/pipelinetest"
	"github.com/sluicemq/sluice/stages/cache"
)

func image(t *testing.T, p *blockfs.Pool, size int) *blockfs.Buffer {
	t.Helper()
	b, err := p.Get(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEvictsOldestAndFreesIt(t *testing.T) {
	pool := blockfs.NewPool(1 << 20)
	c := cache.New(3*blockfs.BlockSize, prometheus.NewRegistry())
	for pos := range partition.Position(5) {
		c.Put(pos, image(t, pool, 100))
	}
	for pos := range partition.Position(5) {
		b, ok := c.Get(pos)
		if ok != (pos >= 2) {
			t.Errorf("position %d cached: %v", pos, ok)
		}
		if ok {
			b.Release()
		}
	}
	if c.Bytes() != 3*blockfs.BlockSize {
		t.Errorf("%d bytes held", c.Bytes())
	}
	c.Resize(0)
	if c.Bytes() != 0 {
		t.Errorf("%d bytes held after the limit went to 0", c.Bytes())
	}
}

func TestEvictedImageLivesWhileItIsRead(t *testing.T) {
	pool := blockfs.NewPool(1 << 20)
	c := cache.New(blockfs.BlockSize, prometheus.NewRegistry())
	first := image(t, pool, 10)
	copy(first.Bytes(), "0123456789")
	c.Put(1, first)
	held, ok := c.Get(1)
	if !ok {
		t.Fatal("not cached")
	}
	c.Put(2, image(t, pool, 10)) // evicts the first
	if string(held.Bytes()) != "0123456789" {
		t.Errorf("%q", held.Bytes())
	}
	held.Release()
}

// group returns a group of one batch per partition, as the wal stage leaves it.
func group(t *testing.T, pool *blockfs.Pool, pos partition.Position, states ...*partition.State) *flow.Group {
	t.Helper()
	g := &flow.Group{Seq: 1, Position: pos, Image: image(t, pool, 64<<10)}
	w := &flow.Write{}
	at := 100
	for _, s := range states {
		b := record.NewBuilder()
		b.BaseOffset = s.HighWatermark()
		batch, err := b.Add(5, nil, []byte("value")).Build()
		if err != nil {
			t.Fatal(err)
		}
		copy(g.Image.Bytes()[at:], batch)
		a := &flow.Append{Partition: s.ID, State: s, Batch: batch, BaseOffset: batch.BaseOffset(),
			At: at}
		w.Appends = append(w.Appends, a, &flow.Append{State: s, Err: errors.New("refused")}, &flow.Append{State: s, Duplicate: true})
		at += len(batch)
	}
	g.Writes = []*flow.Write{w}
	return g
}

// atOnce commits what is on disk.
type atOnce struct{}

func (atOnce) Durable(s *partition.State, end int64) { s.Publish(end) }

func TestPublishedRecordsAreReadable(t *testing.T) {
	pool := blockfs.NewPool(1 << 20)
	c := cache.New(1<<20, prometheus.NewRegistry())
	a := partition.NewState(topic.Partition{Topic: topic.NewID()}, 3, 0, 0)
	b := partition.NewState(topic.Partition{Topic: topic.NewID()}, 3, 7, 7)
	noted := 0
	sink := cache.NewPublisher(c, atOnce{}, nil, func(g *flow.Group) {
		if b.HighWatermark() != 8 {
			t.Error("noted before it was visible")
		}
		noted++
	})
	if verdicts, err := pipelinetest.DriveSink(t, sink, group(t, pool, 4096, a, b), &flow.Group{Seq: 2}); err != nil || errors.Join(verdicts...) != nil {
		t.Fatal(err, verdicts)
	}
	if noted != 1 {
		t.Errorf("noted %d groups; the second is empty", noted)
	}
	for _, s := range []*partition.State{a, b} {
		end := s.HighWatermark()
		tail, ok := s.Tail.From(nil, end-1, end, 1<<20)
		if !ok || len(tail) != 1 {
			t.Fatalf("tail of %s: %v", s.ID, tail)
		}
		r := &flow.Read{State: s, Offset: end - 1, MaxBytes: 1 << 20, End: end, Tail: tail}
		if _, _, err := pipelinetest.Drive(t, cache.ReadStage(c, 1<<20), &flow.Fetch{Reads: []*flow.Read{r}}); err != nil {
			t.Fatal(err)
		}
		if r.Source != flow.FromWriteCache || r.Cold() {
			t.Fatalf("read %+v", r)
		}
		if got := record.Batch(r.Buffers[0]); got.BaseOffset() != end-1 || got.Verify() != nil {
			t.Errorf("read batch at %d", got.BaseOffset())
		}
		r.Release()
	}
}

func TestReadsStopAtTheFirstHole(t *testing.T) {
	pool := blockfs.NewPool(1 << 20)
	c := cache.New(1<<20, prometheus.NewRegistry())
	c.Put(4096, image(t, pool, 100))
	c.Put(12288, image(t, pool, 100))
	entry := func(group partition.Position) partition.Entry {
		return partition.Entry{Group: group, Position: group + 10, Size: 20}
	}
	read := func(groups ...partition.Position) *flow.Read {
		r := &flow.Read{}
		for _, g := range groups {
			r.Tail = append(r.Tail, entry(g))
		}
		if _, _, err := pipelinetest.Drive(t, cache.ReadStage(c, 1<<20), &flow.Fetch{Reads: []*flow.Read{r}}); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := read(4096, 8192, 12288); r.Bytes != 20 || r.Cold() {
		t.Errorf("a hole in the middle: %d bytes, cold %v", r.Bytes, r.Cold())
	}
	if r := read(8192, 12288); r.Bytes != 0 || !r.Cold() {
		t.Errorf("a hole at the front: %d bytes, cold %v", r.Bytes, r.Cold())
	}
}

// TestSlowReadersDoNotKeepTheMemory: if readers hold on to their results, those stay
// valid, but the image memory kept for them is bounded.
func TestSlowReadersDoNotKeepTheMemory(t *testing.T) {
	const size, held = 64 << 10, 4
	pool := blockfs.NewPool(1 << 20)
	c := cache.New(1<<20, prometheus.NewRegistry())
	var reads []*flow.Read
	for i := range 10 {
		pos := partition.Position((i + 1) * size)
		b := image(t, pool, size)
		copy(b.Bytes(), "012345")
		c.Put(pos, b)
		r := &flow.Read{Tail: []partition.Entry{{Group: pos, Position: pos, Size: 3}, {Group: pos, Position: pos + 3, Size: 3}}}
		reads = append(reads, r)
	}
	stage := cache.ReadStage(c, held*size)
	if _, _, err := pipelinetest.Drive(t, stage, &flow.Fetch{Reads: reads}); err != nil {
		t.Fatal(err)
	}
	c.Resize(0) // evicts all images; their memory is reused
	if lent := pool.Lent(); lent != held*size {
		t.Errorf("readers hold %d bytes, want %d", lent, held*size)
	}
	for _, r := range reads {
		if r.Bytes != 6 || len(r.Buffers) != 2 || string(r.Buffers[0])+string(r.Buffers[1]) != "012345" {
			t.Errorf("%d bytes: %q", r.Bytes, r.Buffers)
		}
		r.Release()
	}
	if lent := pool.Lent(); lent != 0 {
		t.Errorf("%d bytes leaked", lent)
	}
	c.Resize(1 << 20)
	c.Put(1, image(t, pool, 100))
	again := &flow.Read{Tail: []partition.Entry{{Group: 1, Position: 1, Size: 3}}}
	if _, _, err := pipelinetest.Drive(t, stage, &flow.Fetch{Reads: []*flow.Read{again}}); err != nil {
		t.Fatal(err)
	}
	if c.Resize(0); pool.Lent() == 0 {
		t.Error("a batch was copied although no reader holds an image")
	}
	again.Release()
}
