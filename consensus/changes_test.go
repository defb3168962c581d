package consensus_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

func TestTopicErrors(t *testing.T) {
	c := node(t)
	ctx := t.Context()
	orders := create(t, c, "orders", 3)
	_, err := c.CreateTopic(ctx, meta.TopicSpec{Name: "orders", Partitions: 1, Replication: 1})
	refused(t, err, meta.ErrTopicExists)
	_, err = c.CreateTopic(ctx, meta.TopicSpec{Name: "wide", Partitions: 1, Replication: 2})
	refused(t, err, meta.ErrInvalidReplicas)
	_, err = c.CreateTopic(ctx, meta.TopicSpec{Name: "none", Replication: 1})
	refused(t, err, meta.ErrInvalidPartitions)
	refused(t, c.GrowTopic(ctx, orders.ID, 3), meta.ErrInvalidPartitions)
	nobody := topic.NewID()
	refused(t, c.GrowTopic(ctx, nobody, 3), meta.ErrUnknownTopic)
	refused(t, c.AlterTopic(ctx, nobody, nil, nil), meta.ErrUnknownTopic)
	refused(t, c.DeleteTopic(ctx, nobody), meta.ErrUnknownTopic)
	refused(t, c.SetLogStart(ctx, topic.Partition{Topic: orders.ID, Index: 3}, 1), meta.ErrUnknownTopic)
	if n := len(c.View().Topics()); n != 1 {
		t.Errorf("%d topics, want 1", n)
	}
}

// TestNameAgain: the name of a deleted topic can be reused at once, and the new topic inherits
// nothing.
func TestNameAgain(t *testing.T) {
	c := node(t)
	ctx := t.Context()
	first := create(t, c, "orders", 3)
	at := topic.Partition{Topic: first.ID}
	must(t, c.SetLogStart(ctx, at, 7))
	must(t, c.ChangeGroup(ctx, "g", meta.GroupChange{Set: map[topic.Partition]meta.CommittedOffset{at: {Offset: 7}}}))
	must(t, c.DeleteTopic(ctx, first.ID))
	if _, ok := c.View().TopicByName("orders"); ok {
		t.Error("a deleted topic is still in the view")
	}
	if g, ok := c.Group("g"); !ok || len(g.Offsets) != 0 {
		t.Errorf("group %+v, want nothing of the deleted topic", g)
	}
	second := create(t, c, "orders", 3)
	if p := second.Partitions[0]; second.ID == first.ID || p.LogStart != 0 {
		t.Errorf("the new topic %s starts at %d, the old one was %s", second.ID, p.LogStart, first.ID)
	}
}

func TestConcurrentCreates(t *testing.T) {
	c := node(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []topic.ID
	for i := range 60 {
		wg.Go(func() {
			name := fmt.Sprintf("topic-%d", i%20) // three for each name
			made, err := c.CreateTopic(t.Context(), meta.TopicSpec{Name: name, Partitions: 7, Replication: 1})
			if err != nil {
				refused(t, err, meta.ErrTopicExists)
				return
			}
			seen, ok := c.View().TopicByName(name)
			if !ok || seen.ID != made.ID || len(seen.Partitions) != 7 {
				t.Errorf("%s was created as %s, but the view has %+v", name, made.ID, seen)
			}
			mu.Lock()
			won = append(won, made.ID)
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(won) != 20 || len(c.View().Topics()) != 20 {
		t.Errorf("%d creations succeeded and %d topics are there, want 20", len(won), len(c.View().Topics()))
	}
}

// TestManyPartitions: a change of one partition does not copy the others.
func TestManyPartitions(t *testing.T) {
	c := node(t)
	began := time.Now()
	big := create(t, c, "big", 10_000)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("10,000 partitions took %s", took)
	}
	other := create(t, c, "other", 1)
	must(t, c.SetLogStart(t.Context(), topic.Partition{Topic: big.ID, Index: 77}, 5))
	after, _ := c.View().TopicByID(big.ID)
	for i := range after.Partitions {
		if (after.Partitions[i] == big.Partitions[i]) != (i != 77) {
			t.Errorf("partition %d is shared with the old view: %v", i, i == 77)
		}
	}
	if same, _ := c.View().TopicByID(other.ID); same != other {
		t.Error("a topic that did not change was rebuilt")
	}
	if big.Partitions[77].LogStart != 0 || after.Partitions[77].LogStart != 5 {
		t.Error("a published view has changed")
	}
}

// TestChanged: a caller waiting for a change finds it in the view.
func TestChanged(t *testing.T) {
	c := node(t)
	changed := c.Changed()
	select {
	case <-changed:
		t.Fatal("changed before anything did")
	default:
	}
	before := c.View()
	create(t, c, "orders", 1)
	<-changed
	if v := c.View(); v.Version <= before.Version {
		t.Errorf("version %d after %d", v.Version, before.Version)
	}
	if _, ok := c.View().TopicByName("orders"); !ok {
		t.Error("the view does not have the change")
	}
	ids := make(map[int64]bool)
	for range 10 {
		first, err := c.AllocateProducerIDs(t.Context(), 10)
		must(t, err)
		for i := range int64(10) {
			ids[first+i] = true
		}
	}
	if len(ids) != 100 {
		t.Errorf("%d different producer ids of 100", len(ids))
	}
}

// TestGarbage follows objects to their end: abandoned, committed to topics that are deleted one
// after the other, and below the log start. Each is returned a second time once no PUT can
// bring it back, and then forgotten.
func TestGarbage(t *testing.T) {
	now := clock.NewManual(time.UnixMilli(1_700_000_000_000))
	cfg := small(t.TempDir())
	cfg.Clock = now
	c := open(t, cfg)
	defer closed(t, c)
	register(t, c, 1)
	ctx := t.Context()
	a, b := create(t, c, "a", 4), create(t, c, "b", 4)
	abandoned, shared, passed := meta.NewObjectID(), meta.NewObjectID(), meta.NewObjectID()
	both := []topic.Partition{{Topic: a.ID}, {Topic: a.ID, Index: 1}, {Topic: b.ID, Index: 2}}
	must(t, c.PrepareObject(ctx, abandoned, both, time.Minute))
	commit(t, c, shared, 10, both...)
	commit(t, c, passed, 10, topic.Partition{Topic: b.ID, Index: 3})

	garbage(t, c)
	now.Advance(time.Minute)
	garbage(t, c) // abandoned only now, and kept for the grace period
	refusedParts(t, c, abandoned, both)
	now.Advance(time.Minute)
	garbage(t, c, early(abandoned)...)
	must(t, c.SetLogStart(ctx, topic.Partition{Topic: b.ID, Index: 3}, 10))
	must(t, c.DeleteTopic(ctx, a.ID))
	garbage(t, c, early(abandoned)...)
	now.Advance(time.Hour)
	garbage(t, c, early(abandoned, passed)...) // b still refers to shared
	must(t, c.Collected(ctx, early(abandoned, passed)))
	garbage(t, c)
	must(t, c.DeleteTopic(ctx, b.ID))
	garbage(t, c)
	now.Advance(time.Minute)
	garbage(t, c, early(shared)...)
	must(t, c.Collected(ctx, early(shared)))
	garbage(t, c)

	old := meta.NewObjectID() // forgotten at once, since it is old when it dies
	third := create(t, c, "c", 4).ID
	commit(t, c, old, 10, topic.Partition{Topic: third})
	now.Advance(cfg.LatePutGrace)
	garbage(t, c, final(abandoned, shared, passed)...)
	refusedParts(t, c, abandoned, []topic.Partition{{Topic: third, Index: 1}, {Topic: third, Index: 2}, {Topic: third, Index: 3}})
	must(t, c.Collected(ctx, final(abandoned, shared, passed)))
	garbage(t, c)
	must(t, c.DeleteTopic(ctx, third))
	garbage(t, c)
	now.Advance(time.Minute)
	garbage(t, c, final(old)...)
	must(t, c.Collected(ctx, final(old)))
	garbage(t, c)
	for _, id := range []meta.ObjectID{abandoned, shared, passed, old} { // as if they had never existed
		must(t, c.PrepareObject(ctx, id, both, time.Minute))
	}
}

func early(ids ...meta.ObjectID) (g []meta.Garbage) {
	for _, id := range ids {
		g = append(g, meta.Garbage{ID: id})
	}
	return g
}

func final(ids ...meta.ObjectID) (g []meta.Garbage) {
	for _, id := range ids {
		g = append(g, meta.Garbage{ID: id, Final: true})
	}
	return g
}

func commit(t *testing.T, c *consensus.Cluster, id meta.ObjectID, end int64, parts ...topic.Partition) {
	t.Helper()
	must(t, c.PrepareObject(t.Context(), id, parts, time.Minute))
	for range 2 { // the response may be lost and the request repeated
		results, err := c.CommitObject(t.Context(), id, ranges(id, end, parts))
		must(t, err)
		for _, r := range results {
			must(t, r.Err)
		}
	}
}

func ranges(id meta.ObjectID, end int64, parts []topic.Partition) (c []meta.CommitPart) {
	for _, p := range parts {
		c = append(c, meta.CommitPart{Partition: p, Ref: meta.ObjectRef{ID: id, End: end, Bytes: 1}})
	}
	return c
}

func refusedParts(t *testing.T, c *consensus.Cluster, id meta.ObjectID, parts []topic.Partition) {
	t.Helper()
	results, err := c.CommitObject(t.Context(), id, ranges(id, 10, parts))
	must(t, err)
	for _, r := range results {
		refused(t, r.Err, meta.ErrConflict)
	}
}

func garbage(t *testing.T, c *consensus.Cluster, want ...meta.Garbage) {
	t.Helper()
	got, err := c.Garbage(t.Context(), 10)
	must(t, err)
	slices.SortFunc(want, func(a, b meta.Garbage) int { return slices.Compare(a.ID[:], b.ID[:]) })
	if !slices.Equal(got, want) {
		t.Fatalf("garbage is %v, want %v", got, want)
	}
	if few, err := c.Garbage(t.Context(), 1); err != nil || len(few) != min(1, len(want)) {
		t.Fatalf("limit 1: %v, %v", few, err)
	}
}

func TestGroups(t *testing.T) {
	c := node(t)
	ctx := t.Context()
	orders := create(t, c, "orders", 20)
	var wg sync.WaitGroup
	for i := range int32(20) {
		wg.Go(func() {
			at := topic.Partition{Topic: orders.ID, Index: i}
			err := c.ChangeGroup(ctx, "g", meta.GroupChange{Set: map[topic.Partition]meta.CommittedOffset{at: {Offset: int64(i)}}})
			if g, ok := c.Group("g"); err != nil || !ok || g.Offsets[at].Offset != int64(i) {
				t.Errorf("offset of %d is missing after its commit: %v", i, err)
			}
		})
	}
	wg.Wait()
	must(t, c.ChangeGroup(ctx, "g", meta.GroupChange{State: &meta.Group{Generation: 2}, Clear: []topic.Partition{{Topic: orders.ID}}}))
	g, _ := c.Group("g")
	if g.Name != "g" || g.Generation != 2 || len(g.Offsets) != 19 {
		t.Errorf("group %+v", g)
	}
	must(t, c.ChangeGroup(ctx, "g", meta.GroupChange{Delete: true}))
	if _, ok := c.Group("g"); ok || len(c.Groups()) != 0 {
		t.Error("a deleted group still exists")
	}
}

func TestShardsAreFixed(t *testing.T) {
	cfg := small(t.TempDir())
	c := open(t, cfg)
	register(t, c, 1)
	create(t, c, "orders", 5)
	closed(t, c)
	for _, shards := range []int{2, 8} {
		other := cfg
		other.Shards = shards
		_, err := consensus.Open(t.Context(), other, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		refused(t, err, quorum.ErrShards)
	}
	c = open(t, cfg)
	defer closed(t, c)
	if _, ok := c.View().TopicByName("orders"); !ok {
		t.Error("the refused attempts lost the topic")
	}
}

// TestSnapshots: after many more changes than entries between snapshots, a restart reads
// snapshots and the entries after them.
func TestSnapshots(t *testing.T) {
	cfg := small(t.TempDir())
	c := open(t, cfg)
	register(t, c, 1)
	fill(t, c)
	orders, _ := c.View().TopicByName("orders")
	for i := range int64(5 * cfg.SnapshotEntries) {
		at := topic.Partition{Topic: orders.ID}
		must(t, c.ChangeGroup(t.Context(), "busy", meta.GroupChange{Set: map[topic.Partition]meta.CommittedOffset{at: {Offset: i}}}))
		if i%4 == 0 {
			create(t, c, fmt.Sprintf("topic-%d", i), 5)
		}
	}
	before, groups := c.View(), c.Groups()
	closed(t, c)
	var snapshots int
	must(t, filepath.WalkDir(cfg.Directory, func(path string, _ os.DirEntry, err error) error {
		if filepath.Ext(path) == ".gbsnap" {
			snapshots++
		}
		return err
	}))
	if snapshots < 2 || snapshots > 4*(cfg.Shards+1) {
		t.Errorf("%d snapshots are on disk", snapshots)
	}
	c = open(t, cfg)
	defer closed(t, c)
	same(t, c.View(), before)
	if len(c.Groups()) != len(groups) {
		t.Errorf("%d groups, were %d", len(c.Groups()), len(groups))
	}
	if g, _ := c.Group("busy"); g.Offsets[topic.Partition{Topic: orders.ID}].Offset != int64(5*cfg.SnapshotEntries-1) {
		t.Errorf("group is %+v", g)
	}
}

func TestDiskAtStart(t *testing.T) {
	cfg := consensus.DefaultConfig(t.TempDir())
	closed(t, open(t, cfg))
	var blocks int64
	must(t, filepath.WalkDir(cfg.Directory, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n, err := allocated(path)
		blocks += n
		return err
	}))
	if blocks > cfg.ReserveBytes+1<<20 {
		t.Errorf("an empty node takes %d bytes of disk", blocks)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*consensus.Config){
		"no directory":   func(c *consensus.Config) { c.Directory = "" },
		"no shard":       func(c *consensus.Config) { c.Shards = 0 },
		"too many":       func(c *consensus.Config) { c.Shards = 65 },
		"no tick":        func(c *consensus.Config) { c.Tick = 0 },
		"no snapshots":   func(c *consensus.Config) { c.SnapshotEntries = 0 },
		"short timeout":  func(c *consensus.Config) { c.Timeout = c.Tick },
		"negative grace": func(c *consensus.Config) { c.Grace = -1 },
		"late PUTs":      func(c *consensus.Config) { c.LatePutGrace = -1 },
		"a file":         func(c *consensus.Config) { c.Directory = os.Args[0] },
	} {
		cfg := small(t.TempDir())
		spoil(&cfg)
		if c, err := consensus.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil {
			t.Errorf("%s was accepted", name)
			closed(t, c)
		}
	}
}

func TestNothingLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c := open(t, small(t.TempDir()))
	register(t, c, 1)
	create(t, c, "orders", 3)
	closed(t, c)
	goleak.VerifyNone(t, before)
}
