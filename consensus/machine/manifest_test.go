package machine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// TestManifest drives a Shard with arbitrary commands, including stale ones. It checks the
// invariants of manifests, and every object's references against a model.
func TestManifest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &manifestModel{shard: NewShard(), taken: make(map[topic.Partition]int64), readers: make(map[topic.Partition]reader),
			epochs: make(map[topic.Partition][]meta.EpochStart)}
		for _, b := range []int32{1, 2} {
			m.apply(t, &StartBroker{Broker: b, Incarnation: 1})
			m.apply(t, &ReadyBroker{Broker: b, Incarnation: 1})
		}
		m.apply(t, &EnsurePartitions{Topic: topicID("t"), Parts: []NewPartition{{0, []int32{1}}, {1, []int32{2}}}})
		m.apply(t, &EnsurePartitions{Topic: topicID("u"), Parts: []NewPartition{{0, []int32{1}}}})
		t.Repeat(map[string]func(*rapid.T){
			"prepare":     m.prepare,
			"prepare2":    m.prepare,
			"commit":      m.commit,
			"commit2":     m.commit,
			"commit3":     m.commit,
			"expire":      func(t *rapid.T) { m.apply(t, &ExpireObjects{NowMs: m.tick(t)}) },
			"idle":        m.expireProducers,
			"collect":     m.collect,
			"markDeleted": m.markDeleted,
			"logstart":    m.logStart,
			"trim":        m.trim,
			"replace":     m.replace,
			"replace2":    m.replace,
			"start":       m.start,
			"drop":        m.drop,
			"restore":     m.restore,
			"":            m.check,
		})
	})
}

type reader struct {
	seen *meta.Partition
	was  []meta.ObjectRef // a copy of seen.Objects
}

type manifestModel struct {
	shard   *Shard
	now     int64
	taken   map[topic.Partition]int64             // tier ends according to the results
	epochs  map[topic.Partition][]meta.EpochStart // all that ever existed
	readers map[topic.Partition]reader
}

func (m *manifestModel) tick(t *rapid.T) int64 {
	m.now += rapid.Int64Range(0, 20).Draw(t, "ms")
	return m.now
}

func (m *manifestModel) apply(t *rapid.T, cmd Command) Result {
	cmd, err := Decode(Encode(cmd))
	if err != nil {
		t.Fatal(err)
	}
	r, ch, err := m.shard.Apply(cmd)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range ch.Partitions {
		if c.Now != nil {
			m.readers[c.ID] = reader{c.Now, slices.Clone(c.Now.Objects)}
		}
	}
	return r
}

// off is mostly 0, sometimes off by one or more.
func off(t *rapid.T, what string) int64 {
	return rapid.SampledFrom([]int64{0, 0, 0, 0, 0, 0, 0, -1, 1}).Draw(t, what)
}

func object5(t *rapid.T) meta.ObjectID {
	return objectID(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "object"))
}

func place(t *rapid.T) topic.Partition {
	return rapid.SampledFrom([]topic.Partition{{Topic: topicID("t")}, {Topic: topicID("t"), Index: 1}, {Topic: topicID("u")}}).Draw(t, "partition")
}

func (m *manifestModel) prepare(t *rapid.T) {
	id := object5(t)
	dead := m.shard.objects[id].deadMs > 0
	r := m.apply(t, &PrepareObject{ID: id, Shards: 1, ExpiryMs: m.tick(t) + rapid.Int64Range(1, 200).Draw(t, "ttl")})
	if (r.Code == OK) == dead {
		t.Fatalf("prepare of a dead object (%v): %v", dead, r.Code.Err())
	}
}

func (m *manifestModel) commit(t *rapid.T) {
	cmd := &CommitParts{ID: object5(t), NowMs: m.tick(t)}
	o, known := m.shard.objects[cmd.ID]
	live := known && o.deadMs == 0 && (o.refs > 0 || cmd.NowMs < o.expiryMs)
	for range rapid.IntRange(1, 2).Draw(t, "parts") {
		at := place(t)
		base := m.taken[at] + off(t, "gap")
		if p := m.shard.topics[at.Topic][at.Index]; p != nil && p.LogStart > m.taken[at] && rapid.Bool().Draw(t, "the WAL was lost") {
			base = p.LogStart + off(t, "gap behind the hole")
		}
		part := meta.CommitPart{Partition: at, Ref: meta.ObjectRef{ID: cmd.ID, Base: base, End: base + 2 + 2*off(t, "records")}}
		if p := m.shard.topics[at.Topic][at.Index]; p != nil {
			part.Epoch = p.Epoch + int32(off(t, "epoch"))
			part.Producers.Sections = sections(t, p.Producers.Sections, m.now)
		}
		part.Epochs = slices.Clone(m.epochs[at]) // an uploader that has not seen the trim
		if n := len(part.Epochs); n == 0 || part.Epochs[n-1].Epoch < part.Epoch {
			part.Epochs = append(part.Epochs, meta.EpochStart{Epoch: part.Epoch, Start: base})
		}
		cmd.Parts = append(cmd.Parts, part)
	}
	r := m.apply(t, cmd)
	for i, code := range r.Parts {
		m.judge(t, cmd.Parts[i], code, live)
	}
}

// sections returns some of a partition's sections, and maybe a new one.
func sections(t *rapid.T, old []meta.ProducerSection, now int64) (out []meta.ProducerSection) {
	for _, x := range old {
		if rapid.Bool().Draw(t, "kept") {
			out = append(out, x)
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "new section") == 0 {
		out = append(out, meta.ProducerSection{Object: object5(t), Offset: rapid.Int64Range(40, 42).Draw(t, "at"), Length: 1, NewestMs: now, IDs: 1})
	}
	return out
}

func (m *manifestModel) expireProducers(t *rapid.T) {
	before := m.tick(t) - rapid.Int64Range(0, 40).Draw(t, "age")
	due := m.shard.HasExpiredProducers(before)
	was := m.shard.Snapshot()
	m.apply(t, &ExpireProducers{BeforeMs: before, NowMs: m.now})
	if due == slices.Equal(was, m.shard.Snapshot()) || m.shard.HasExpiredProducers(before) {
		t.Fatalf("expired sections: %v, but the result is", due)
	}
	for _, parts := range m.shard.topics {
		for _, p := range parts {
			for _, x := range p.Producers.Sections {
				if x.NewestMs < before {
					t.Fatalf("%+v still exists", x)
				}
			}
		}
	}
}

func (m *manifestModel) judge(t *rapid.T, part meta.CommitPart, code Code, live bool) {
	p, there := m.shard.topics[part.Partition.Topic][part.Partition.Index]
	taken := m.taken[part.Partition]
	goesOn := there && (part.Ref.Base == taken || taken < part.Ref.Base && part.Ref.Base <= p.LogStart)
	switch {
	case !there:
		if code != UnknownTopic {
			t.Fatalf("commit to an unknown partition: %v", code.Err())
		}
	case code == OK && goesOn:
		if !live || part.Epoch != p.Epoch || part.Ref.End <= part.Ref.Base {
			t.Fatalf("took %+v: live %v, epoch %d", part, live, p.Epoch)
		}
		m.taken[part.Partition], m.epochs[part.Partition] = part.Ref.End, part.Epochs
	case code == OK:
		if !slices.Contains(p.Objects, part.Ref) {
			t.Fatalf("accepted %+v, which is not in %+v", part, p.Objects)
		}
	case code == Conflict && len(part.Producers.Sections) == 0 && live && part.Epoch == p.Epoch && goesOn && part.Ref.End > part.Ref.Base:
		t.Fatalf("refused the valid %+v", part)
	}
}

func (m *manifestModel) collect(t *rapid.T) {
	id := object5(t)
	m.apply(t, &CollectObjects{IDs: []meta.ObjectID{id}})
}

// markDeleted marks dead objects and nothing else, until they are collected.
func (m *manifestModel) markDeleted(t *rapid.T) {
	id := object5(t)
	before, known := m.shard.objects[id]
	m.apply(t, &MarkDeleted{IDs: []meta.ObjectID{id}})
	now, still := m.shard.objects[id]
	if before.deleted = before.deadMs > 0; now != before || still != known {
		t.Fatalf("marked %s deleted: known %v as %+v, want %+v", label(id), still, now, before)
	}
}

func (m *manifestModel) logStart(t *rapid.T) {
	at := place(t)
	m.apply(t, &SetLogStart{Partition: at, Offset: m.taken[at] + rapid.Int64Range(-3, 3).Draw(t, "from the end"), NowMs: m.tick(t)})
}

func (m *manifestModel) trim(t *rapid.T) {
	at := place(t)
	p := m.shard.topics[at.Topic][at.Index]
	cmd := &TrimLog{Partition: at, Epoch: p.Epoch + int32(off(t, "epoch")), NowMs: m.tick(t),
		Offset: m.taken[at] + rapid.Int64Range(-6, 2).Draw(t, "from the end")}
	boundary := cmd.Offset >= p.TierEnd || slices.ContainsFunc(p.Objects, func(o meta.ObjectRef) bool { return o.End == cmd.Offset })
	want, start := OK, p.LogStart
	switch {
	case cmd.Epoch != p.Epoch:
		want = Conflict
	case cmd.Offset <= p.LogStart:
	case !boundary:
		want = Conflict
	default:
		start = cmd.Offset
	}
	r := m.apply(t, cmd)
	if now := m.shard.topics[at.Topic][at.Index].LogStart; r.Code != want || now != start {
		t.Fatalf("%+v: %v and log start %d, want %v and %d", cmd, r.Code.Err(), now, want.Err(), start)
	}
}

// replace merges some of a manifest's objects, or almost valid variants of that.
func (m *manifestModel) replace(t *rapid.T) {
	at := place(t)
	p := m.shard.topics[at.Topic][at.Index]
	if len(p.Objects) == 0 {
		t.Skip("nothing to replace")
	}
	from := rapid.IntRange(0, len(p.Objects)-1).Draw(t, "from")
	to := rapid.IntRange(from+1, len(p.Objects)).Draw(t, "to")
	old := slices.Clone(p.Objects[from:to])
	cmd := &ReplaceObjects{Partition: at, Epoch: p.Epoch + int32(off(t, "epoch")), Old: old, NowMs: m.tick(t),
		New:      meta.ObjectRef{ID: object5(t), Base: old[0].Base + off(t, "base"), End: old[len(old)-1].End + off(t, "end")},
		CleanEnd: rapid.Int64Range(0, m.taken[at]+1).Draw(t, "clean")}
	right := cmd.Epoch == p.Epoch && cmd.New.Base == old[0].Base && cmd.New.End == old[len(old)-1].End && cmd.CleanEnd <= p.TierEnd
	switch rapid.IntRange(0, 7).Draw(t, "changed meanwhile") {
	case 0:
		cmd.Old[0].Bytes, right = cmd.Old[0].Bytes+1, false
	case 1:
		slices.Reverse(cmd.Old)
		right = right && len(old) == 1
	case 2:
		cmd.Old, right = nil, false
	}
	o, known := m.shard.objects[cmd.New.ID]
	live := known && o.deadMs == 0 && (o.refs > 0 || cmd.NowMs < o.expiryMs)
	named := slices.ContainsFunc(p.Objects, func(o meta.ObjectRef) bool { return o.ID == cmd.New.ID })
	again := slices.Contains(p.Objects, cmd.New)
	clean, records := p.CleanEnd, p.Objects
	r := m.apply(t, cmd)
	p = m.shard.topics[at.Topic][at.Index]
	if want := again || right && live && !named; (r.Code == OK) != want {
		t.Fatalf("%+v of %+v: %v; live %v, named %v", cmd, records, r.Code.Err(), live, named)
	}
	if r.Code != OK || again {
		if p.CleanEnd != clean || !slices.Equal(p.Objects, records) {
			t.Fatalf("%+v changed %+v to %+v", cmd, records, p.Objects)
		}
		return
	}
	if want := slices.Concat(records[:from], []meta.ObjectRef{cmd.New}, records[to:]); !slices.Equal(p.Objects, want) || p.CleanEnd != max(clean, cmd.CleanEnd) {
		t.Fatalf("%+v made %+v, clean to %d", cmd, p.Objects, p.CleanEnd)
	}
}

func (m *manifestModel) start(t *rapid.T) {
	broker, before := rapid.Int32Range(1, 2).Draw(t, "broker"), m.shard.Snapshot()
	inc := uint64(rapid.Int64Range(0, 5).Draw(t, "incarnation"))
	fresh := inc > m.shard.sessions[broker].Incarnation
	m.apply(t, &StartBroker{Broker: broker, Incarnation: inc})
	if !fresh && !slices.Equal(before, m.shard.Snapshot()) {
		t.Fatal("a stale incarnation changed something")
	}
	if rapid.Bool().Draw(t, "ready") {
		m.apply(t, &ReadyBroker{Broker: broker, Incarnation: inc})
	}
}

func (m *manifestModel) drop(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "seldom") != 0 {
		t.Skip("seldom")
	}
	m.apply(t, &DropTopic{Topic: topicID("u"), NowMs: m.tick(t)})
	m.apply(t, &EnsurePartitions{Topic: topicID("u"), Parts: []NewPartition{{0, []int32{1}}}})
	delete(m.taken, topic.Partition{Topic: topicID("u")})
	delete(m.epochs, topic.Partition{Topic: topicID("u")})
}

func (m *manifestModel) restore(t *rapid.T) {
	s, err := RestoreShard(m.shard.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	m.shard = s
}

func (m *manifestModel) check(t *rapid.T) {
	refs := make(map[meta.ObjectID]int32)
	for id, parts := range m.shard.topics {
		for index, p := range parts {
			at := topic.Partition{Topic: id, Index: index}
			if p.TierEnd != m.taken[at] {
				t.Fatalf("%v: tier end %d, committed up to %d", at, p.TierEnd, m.taken[at])
			}
			m.checkEpochs(t, at, p)
			for _, x := range p.Producers.Sections {
				refs[x.Object]++
			}
			next := p.TierEnd
			for _, o := range slices.Backward(p.Objects) {
				if o.End != next || o.Base >= o.End || o.End <= p.LogStart {
					t.Fatalf("%v: not contiguous up to %d, or below %d: %+v", at, p.TierEnd, p.LogStart, p.Objects)
				}
				next = o.Base
				refs[o.ID]++
			}
			if next > p.LogStart && len(p.Objects) > 0 || len(p.Objects) == 0 && p.LogStart < p.TierEnd {
				t.Fatalf("%v: records from %d to %d are in no object: %+v", at, p.LogStart, p.TierEnd, p.Objects)
			}
		}
	}
	for id, n := range refs {
		if o := m.shard.objects[id]; o.refs != n || o.deadMs != 0 {
			t.Fatalf("object %s is named %d times, known as %+v", label(id), n, o)
		}
	}
	for id, o := range m.shard.objects {
		if o.deleted && o.deadMs == 0 {
			t.Fatalf("object %s was deleted and lives: %+v", label(id), o)
		}
		if o.refs != refs[id] {
			t.Fatalf("object %s is named %d times, known as %+v", label(id), refs[id], o)
		}
	}
	for at, r := range m.readers {
		if !slices.Equal(r.seen.Objects, r.was) {
			t.Fatalf("%v: a reader's value changed from %+v to %+v", at, r.was, r.seen.Objects)
		}
	}
}

// checkEpochs: a partition has exactly the epochs of readable records, and the one that
// contains its log start.
func (m *manifestModel) checkEpochs(t *rapid.T, at topic.Partition, p *meta.Partition) {
	var want []meta.EpochStart
	for i, e := range m.epochs[at] {
		if i+1 == len(m.epochs[at]) || m.epochs[at][i+1].Start > p.LogStart {
			want = append(want, e)
		}
	}
	if !slices.Equal(p.Epochs, want) {
		t.Fatalf("%v: epochs %v of %v, log start %d", at, p.Epochs, m.epochs[at], p.LogStart)
	}
}
