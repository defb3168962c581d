package machine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// TestScripts runs the scripts in testdata/scripts against a Root and a Shard. Each line is a
// command; -rewrite rewrites the expectations. After every command the states go through a
// snapshot, so everything a script shows survives one.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{root: NewRoot(), shard: NewShard()}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			for line := range strings.SplitSeq(strings.TrimSpace(d.Input), "\n") {
				fmt.Fprintln(&out, s.line(t, d.Cmd, strings.Fields(line)))
			}
			return out.String()
		})
	})
}

type script struct {
	root  *Root
	shard *Shard
}

func (s *script) line(t *testing.T, machine string, words []string) string {
	if len(words) == 0 || words[0] == "show" {
		if machine == "root" {
			return s.showRoot()
		}
		return s.showShard()
	}
	b := Encode(command(t, words))
	cmd, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	var changed string
	if machine == "root" {
		var ch RootChanges
		r, ch, err = s.root.Apply(cmd)
		changed = fmt.Sprintf("%d topics", len(ch.Topics))
		if ch.Cluster != nil {
			changed = "the cluster"
		}
		s.root = restored(t, s.root.Snapshot(), RestoreRoot)
	} else {
		var ch Changes
		r, ch, err = s.shard.Apply(cmd)
		changed = fmt.Sprintf("%d partitions, %d groups", len(ch.Partitions), len(ch.Groups))
		s.shard = restored(t, s.shard.Snapshot(), RestoreShard)
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%s: %s; changed %s", words[0], outcome(r), changed)
}

func restored[T interface{ Snapshot() []byte }](t *testing.T, b []byte, restore func([]byte) (T, error)) T {
	t.Helper()
	state, err := restore(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := state.Snapshot(); !slices.Equal(again, b) {
		t.Fatal("a restored state has a different snapshot")
	}
	return state
}

func outcome(r Result) string {
	text := func(c Code) string {
		if err := c.Err(); err != nil {
			return err.Error()
		}
		return "ok"
	}
	out := text(r.Code)
	if r.Number != 0 {
		out += fmt.Sprintf(" %d", r.Number)
	}
	for _, c := range r.Parts {
		out += ", " + text(c)
	}
	return out
}

// arguments are words like name=value; others are positional.
type arguments struct {
	t     *testing.T
	named map[string]string
	plain []string
}

func parse(t *testing.T, words []string) arguments {
	a := arguments{t: t, named: make(map[string]string)}
	for _, w := range words {
		if name, value, ok := strings.Cut(w, "="); ok {
			a.named[name] = value
		} else {
			a.plain = append(a.plain, w)
		}
	}
	return a
}

func (a arguments) number(name string) int64 { return number(a.t, cmp.Or(a.named[name], "0")) }

func number(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// topicID and objectID return ids that start with a name.
func topicID(name string) (id topic.ID)       { copy(id[:], name); return id }
func objectID(name string) (id meta.ObjectID) { copy(id[:], name); return id }

func objectIDs(names []string) (ids []meta.ObjectID) {
	for _, n := range names {
		ids = append(ids, objectID(n))
	}
	return ids
}

func label(id [16]byte) string { return strings.TrimRight(string(id[:]), "\x00") }

func (a arguments) place(s string) topic.Partition {
	name, index, _ := strings.Cut(s, "/")
	return topic.Partition{Topic: topicID(name), Index: int32(number(a.t, index))}
}

func command(t *testing.T, words []string) Command {
	a := parse(t, words[1:])
	switch words[0] {
	case "init":
		return &InitCluster{ClusterID: a.plain[0], Shards: int32(a.number("shards"))}
	case "register":
		process := a.named["process"]
		return &RegisterBroker{Broker: meta.Broker{ID: int32(number(t, a.plain[0])), Process: [16]byte([]byte(fmt.Sprintf("%-16s", process))), Host: "h", Port: 1, Rack: a.named["rack"]}, After: uint64(a.number("after"))}
	case "ready":
		return &ReadyBroker{Broker: int32(number(t, a.plain[0])), Incarnation: uint64(a.number("incarnation")), Session: uint64(a.number("session"))}
	case "fence":
		return &FenceBroker{Broker: int32(number(t, a.plain[0])), Incarnation: uint64(a.number("incarnation")), Session: uint64(a.number("session"))}
	case "drain":
		return &DrainBroker{Broker: int32(number(t, a.plain[0])), Incarnation: uint64(a.number("incarnation"))}
	case "unregister":
		return &UnregisterBroker{Broker: int32(number(t, a.plain[0]))}
	case "decommission":
		return &DecommissionBroker{Broker: int32(number(t, a.plain[0])), On: a.named["on"] != "no"}
	case "throttle":
		return &RecordThrottle{Throttle: meta.Throttle{Broker: int32(number(t, a.plain[0])), WALPermille: int32(a.number("wal"))}}
	case "controller":
		return &RecordController{Controller: meta.Controller{ID: int32(number(t, a.plain[0])), Feed: a.named["feed"]}}
	case "forget-controller":
		return &ForgetController{ID: int32(number(t, a.plain[0]))}
	case "feature":
		return &RaiseFeature{Level: int32(number(t, a.plain[0]))}
	case "settle":
		return &SettleTopic{ID: topicID(a.plain[0]), Revision: uint64(a.number("revision"))}
	case "begin":
		return &BeginTopic{Spec: meta.TopicSpec{Name: a.plain[0], ID: topicID(a.plain[1]), Partitions: int32(a.number("partitions")),
			Replication: int16(a.number("replication")), Configs: map[string]string{"a": "1"}}}
	case "grow":
		return &GrowTopic{ID: topicID(a.plain[0]), Partitions: int32(a.number("partitions"))}
	case "finish":
		return &FinishTopic{ID: topicID(a.plain[0]), Partitions: int32(a.number("partitions")), Revision: uint64(a.number("revision"))}
	case "alter":
		return &AlterTopic{ID: topicID(a.plain[0]), Set: a.named, Del: a.plain[1:]}
	case "delete":
		return &DeleteTopic{ID: topicID(a.plain[0])}
	case "forget":
		return &ForgetTopic{ID: topicID(a.plain[0])}
	case "allocate":
		return &AllocateIDs{Count: int32(number(t, a.plain[0]))}
	}
	return shardCommand(t, words[0], a)
}

func shardCommand(t *testing.T, verb string, a arguments) Command {
	switch verb {
	case "ensure":
		c := &EnsurePartitions{Topic: topicID(a.plain[0]), MinISR: MinISR{int32(a.number("min-isr")), uint64(a.number("revision"))}}
		for _, w := range a.plain[1:] {
			index, replicas, _ := strings.Cut(w, ":")
			n := NewPartition{Index: int32(number(t, index))}
			for r := range strings.SplitSeq(replicas, ",") {
				n.Replicas = append(n.Replicas, int32(number(t, r)))
			}
			c.Parts = append(c.Parts, n)
		}
		return c
	case "start":
		return &StartBroker{Broker: int32(number(t, a.plain[0])), Incarnation: uint64(a.number("incarnation"))}
	case "lose":
		c := &LoseReplicas{Broker: int32(number(t, a.plain[0])), Incarnation: uint64(a.number("incarnation")), Session: uint64(a.number("session")), All: len(a.plain) == 1}
		for _, w := range a.plain[1:] {
			c.Partitions = append(c.Partitions, a.place(w))
		}
		return c
	case "alter-isr":
		c := ISRItem{Partition: a.place(a.plain[0])}
		c.Change.Leader, c.Change.Epoch, c.Change.Version = int32(a.number("leader")), int32(a.number("epoch")), int32(a.number("version"))
		for _, w := range a.plain[1:] {
			b, inc, _ := strings.Cut(w, ":")
			c.Change.ISR = append(c.Change.ISR, replication.Member{Broker: int32(number(t, b)), Incarnation: uint64(number(t, inc))})
		}
		return &AlterISR{Items: []ISRItem{c}}
	case "elect":
		kind := map[string]meta.Election{"preferred": meta.ElectPreferred, "named": meta.ElectNamed, "unclean": meta.ElectUnclean}[a.plain[0]]
		return &ElectLeaders{Kind: kind, Items: []ElectItem{{a.place(a.plain[1]), int32(a.number("to"))}}}
	case "min-isr":
		return &SetMinISR{Topic: topicID(a.plain[0]), MinISR: MinISR{int32(a.number("n")), uint64(a.number("revision"))}}
	case "reassign":
		item := ReassignItem{Partition: a.place(a.plain[0])}
		for _, w := range a.plain[1:] {
			item.Target = append(item.Target, int32(number(t, w)))
		}
		return &Reassign{Items: []ReassignItem{item}}
	case "coordinate":
		return &AcquireCoordinator{Broker: int32(number(t, a.plain[0])), Incarnation: uint64(a.number("incarnation")), After: int32(a.number("after"))}
	case "logstart":
		return &SetLogStart{Partition: a.place(a.plain[0]), Offset: a.number("offset"), NowMs: a.number("now")}
	case "prepare":
		return &PrepareObject{ID: objectID(a.plain[0]), Shards: uint64(a.number("shards")), ExpiryMs: a.number("expiry")}
	case "commit":
		return commitCommand(t, a)
	case "trim":
		return &TrimLog{Partition: a.place(a.plain[0]), Epoch: int32(a.number("epoch")), Offset: a.number("offset"), NowMs: a.number("now")}
	case "replace":
		return replaceCommand(t, a)
	case "expire":
		return &ExpireObjects{NowMs: a.number("now")}
	case "collect":
		return &CollectObjects{IDs: objectIDs(a.plain)}
	case "mark-deleted":
		return &MarkDeleted{IDs: objectIDs(a.plain)}
	case "drop":
		return &DropTopic{Topic: topicID(a.plain[0]), NowMs: a.number("now")}
	case "group":
		return groupCommand(t, a)
	}
	t.Fatalf("unknown command %q", verb)
	return nil
}

// commitCommand parses parts like t/0:0-10.
func commitCommand(t *testing.T, a arguments) Command {
	c := &CommitParts{ID: objectID(a.plain[0]), NowMs: a.number("now")}
	for _, w := range a.plain[1:] {
		at, span, _ := strings.Cut(w, ":")
		base, end, _ := strings.Cut(span, "-")
		c.Parts = append(c.Parts, meta.CommitPart{Partition: a.place(at), Epoch: int32(a.number("epoch")),
			Ref: meta.ObjectRef{ID: c.ID, Base: number(t, base), End: number(t, end), Bytes: 1, MaxTimestamp: 2}})
	}
	return c
}

// replaceCommand parses `replace t/0 n:0-20 o:0-10 p:10-20`: n is the new object.
func replaceCommand(t *testing.T, a arguments) Command {
	c := &ReplaceObjects{Partition: a.place(a.plain[0]), Epoch: int32(a.number("epoch")), CleanEnd: a.number("clean"), NowMs: a.number("now")}
	for i, w := range a.plain[1:] {
		name, span, _ := strings.Cut(w, ":")
		base, end, _ := strings.Cut(span, "-")
		ref := meta.ObjectRef{ID: objectID(name), Base: number(t, base), End: number(t, end), Bytes: 1, MaxTimestamp: 2}
		if i == 0 {
			c.New = ref
		} else {
			c.Old = append(c.Old, ref)
		}
	}
	return c
}

func groupCommand(t *testing.T, a arguments) Command {
	c := &ChangeGroup{Name: a.plain[0], Change: meta.GroupChange{Set: make(map[topic.Partition]meta.CommittedOffset)}}
	for name, value := range a.named {
		switch name {
		case "epoch":
			c.Epoch = int32(number(t, value))
		case "generation":
			c.Change.State = &meta.Group{Generation: int32(number(t, value)), Members: []meta.GroupMember{{ID: "m"}}}
		case "clear":
			c.Change.Clear = append(c.Change.Clear, a.place(value))
		case "delete":
			c.Change.Delete = true
		default:
			c.Change.Set[a.place(name)] = meta.CommittedOffset{Offset: number(t, value)}
		}
	}
	return c
}

func (s *script) showRoot() string {
	var out []string
	out = append(out, fmt.Sprintf("  cluster %q of %d shards, next producer id %d", s.root.cluster.ID, s.root.cluster.Shards, s.root.nextID))
	for _, b := range s.root.cluster.Brokers {
		out = append(out, fmt.Sprintf("  broker %d incarnation %d session %d rack %q%s", b.ID, b.Incarnation, b.Session, b.Rack, flags(b)))
	}
	for _, x := range s.root.cluster.Throttles {
		out = append(out, fmt.Sprintf("  throttle of broker %d: WAL %d", x.Broker, x.WALPermille))
	}
	for _, x := range s.root.cluster.Controllers {
		out = append(out, fmt.Sprintf("  controller %d at %s", x.ID, x.Feed))
	}
	for _, id := range slices.SortedFunc(maps.Keys(s.root.topics), compareTopics) {
		t := s.root.topics[id]
		line := fmt.Sprintf("  topic %s %q %d of %d partitions, configs %v, min ISR %d of revision %d, settled %d", label(id), t.Name, t.Count, t.Target,
			t.Configs, t.MinISR.N, t.MinISR.Revision, t.Settled)
		if t.Deleted {
			line = fmt.Sprintf("  topic %s %q deleted", label(id), t.Name)
		}
		out = append(out, line)
		for i := range t.Target {
			out = append(out, fmt.Sprintf("    %d on %v", i, t.Place(i)))
		}
	}
	return strings.Join(out, "\n")
}

func flags(b meta.Broker) (out string) {
	if b.Fenced {
		out += " fenced"
	}
	if b.Draining {
		out += " draining"
	}
	if b.Decommissioned {
		out += " decommissioned"
	}
	return out
}

func (s *script) showShard() string {
	out := []string{fmt.Sprintf("  coordinator %d epoch %d", s.shard.coordinator.Broker, s.shard.coordinator.Epoch)}
	for _, b := range sortedKeys(s.shard.sessions) {
		out = append(out, fmt.Sprintf("  broker %d %+v", b, s.shard.sessions[b]))
	}
	for _, id := range slices.SortedFunc(maps.Keys(s.shard.topics), compareTopics) {
		for _, index := range slices.Sorted(maps.Keys(s.shard.topics[id])) {
			p := s.shard.topics[id][index]
			line := fmt.Sprintf("  %s/%d leader %d epoch %d version %d of %v isr %v elr %v min %d start %d tier %d:", label(id), index, p.Leader, p.Epoch, p.Version,
				p.Replicas, p.ISR, p.ELR, p.MinISR, p.LogStart, p.TierEnd)
			if len(p.Adding)+len(p.Removing) > 0 {
				line = fmt.Sprintf("%s adding %v removing %v:", strings.TrimSuffix(line, ":"), p.Adding, p.Removing)
			}
			if p.CleanEnd > 0 {
				line = fmt.Sprintf("%s clean %d:", strings.TrimSuffix(line, ":"), p.CleanEnd)
			}
			for _, o := range p.Objects {
				line += fmt.Sprintf(" %s[%d,%d)", label(o.ID), o.Base, o.End)
			}
			out = append(out, line)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(s.shard.objects), func(a, b meta.ObjectID) int { return compareIDs(a, b) }) {
		o := s.shard.objects[id]
		line := fmt.Sprintf("  object %s shards %b expiry %d refs %d dead %d", label(id), o.shards, o.expiryMs, o.refs, o.deadMs)
		if o.deleted {
			line += " deleted"
		}
		out = append(out, line)
	}
	for _, name := range slices.Sorted(maps.Keys(s.shard.groups)) {
		g := s.shard.groups[name]
		line := fmt.Sprintf("  group %s generation %d, %d members:", name, g.Generation, len(g.Members))
		for _, p := range slices.SortedFunc(maps.Keys(g.Offsets), comparePartitions) {
			line += fmt.Sprintf(" %s/%d@%d", label(p.Topic), p.Index, g.Offsets[p].Offset)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
