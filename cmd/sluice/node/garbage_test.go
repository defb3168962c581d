package node

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/stages/upload"
)

// yard is metadata, an object store and the garbage sweep between them, with a fake clock.
type yard struct {
	t     *testing.T
	clock *clock.Manual
	meta  *consensus.Cluster
	store *objectstore.Store
	sweep *upload.Uploader
	at    topic.Partition
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{t: t, clock: clock.NewManual(time.UnixMilli(1_700_000_000_000))}
	cfg := consensus.DefaultConfig(t.TempDir())
	cfg.Shards, cfg.Tick, cfg.Clock = 2, 5*time.Millisecond, y.clock
	log := slog.New(slog.DiscardHandler)
	var err error
	if y.meta, err = consensus.Open(t.Context(), cfg, log, prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { y.must(y.meta.Close()) })
	_, err = y.meta.RegisterBroker(t.Context(), meta.Broker{ID: 1, Host: "localhost", Port: 9092})
	y.must(err)
	created, err := y.meta.CreateTopic(t.Context(), meta.TopicSpec{Name: "t", Partitions: 1, Replication: 1})
	y.must(err)
	y.at = topic.Partition{Topic: created.ID}
	y.store, err = objectstore.Open(t.Context(), "mem://")
	y.must(err)
	t.Cleanup(func() { y.store.Close() })
	y.sweep = upload.NewUploader(upload.DefaultConfig(), upload.Deps{Clock: y.clock, Logger: log, Registry: prometheus.NewRegistry()})
	return y
}

func (y *yard) must(err error) {
	y.t.Helper()
	if err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) prepare(id meta.ObjectID) {
	y.t.Helper()
	y.must(y.meta.PrepareObject(y.t.Context(), id, []topic.Partition{y.at}, time.Hour))
}

func (y *yard) commit(id meta.ObjectID) error {
	y.t.Helper()
	r, err := y.meta.CommitObject(y.t.Context(), id, []meta.CommitPart{{Partition: y.at, Ref: meta.ObjectRef{ID: id, End: 10, Bytes: 1}}})
	y.must(err)
	return r[0].Err
}

// lands completes a PUT in the store, whether or not anybody still waits for it.
func (y *yard) lands(id meta.ObjectID) {
	y.t.Helper()
	y.must(y.store.Put(y.t.Context(), object.Key(id), strings.NewReader("records")))
}

func (y *yard) stored(id meta.ObjectID) bool {
	_, err := y.store.Size(y.t.Context(), object.Key(id))
	return err == nil
}

// look waits for d and runs the sweep once.
func (y *yard) look(d time.Duration) {
	y.t.Helper()
	y.clock.Advance(d)
	ctx, cancel := context.WithCancel(y.t.Context())
	defer cancel()
	y.sweep.Sweep(ctx, &once{y.meta, cancel}, y.store)
}

// once ends a sweep after one pass.
type once struct {
	*consensus.Cluster
	over context.CancelFunc
}

func (o *once) Garbage(ctx context.Context, most int) ([]meta.Garbage, error) {
	g, err := o.Cluster.Garbage(ctx, most)
	if len(g) == 0 {
		o.over()
	}
	return g, err
}

func (o *once) Collected(ctx context.Context, g []meta.Garbage) error {
	defer o.over()
	return o.Cluster.Collected(ctx, g)
}

// An abandoned PUT may be in flight for a long time, and reach the store after its object was
// deleted, leaving an unreferenced object. So the object must be deleted once more, whatever
// its history.
func TestLatePutsLeaveNothing(t *testing.T) {
	y := newYard(t)
	given := meta.NewObjectID() // never arrived, as far as its uploader knows
	y.prepare(given)
	twice := meta.NewObjectID() // sent twice and arrived, with the first PUT still in flight
	y.prepare(twice)
	y.lands(twice)
	y.must(y.commit(twice))
	y.must(y.meta.SetLogStart(t.Context(), y.at, 10))
	y.look(0)
	y.look(2 * time.Minute)
	if y.stored(twice) {
		t.Fatal("what nobody refers to is kept")
	}
	y.look(time.Hour) // given has expired
	y.look(2 * time.Minute)
	if err := y.commit(given); err == nil {
		t.Fatal("an object was committed after its time")
	}
	y.lands(given)
	y.lands(twice)
	for range 48 {
		y.look(time.Hour)
	}
	if y.stored(given) || y.stored(twice) {
		t.Errorf("two days later there is still what nobody names: given up %v, stored twice %v", y.stored(given), y.stored(twice))
	}
	y.prepare(given) // everything about it is forgotten
	y.prepare(twice)
}
