package quorum

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is where the controllers of a test live.
type site struct {
	dir   string
	addrs map[int32]string
}

// newSite reserves addresses for controllers 1 to n.
func newSite(t testing.TB, n int32) *site {
	s := &site{dir: t.TempDir(), addrs: make(map[int32]string)}
	for id := int32(1); id <= n; id++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		s.addrs[id] = l.Addr().String()
		must(t, l.Close())
	}
	return s
}

func (s *site) directory(id int32) string {
	return filepath.Join(s.dir, fmt.Sprintf("node-%d", id), "meta")
}

// config is that of a controller that knows of the others.
func (s *site) config(t testing.TB, id int32) Config {
	t.Helper()
	cfg, err := s.settings(id)
	must(t, err)
	return cfg
}

func (s *site) settings(id int32) (Config, error) {
	node := certs.Node{ID: id, Roles: []certs.Role{certs.RoleController}}
	files, err := certs.EnsureNode(filepath.Join(s.dir, "certs"), node)
	if err != nil {
		return Config{}, err
	}
	internal, err := certs.NewInternal(files, node, slog.New(slog.DiscardHandler))
	cfg := DefaultConfig(s.directory(id))
	cfg.ID, cfg.RaftAddress, cfg.Others = id, s.addrs[id], &Others{Members: s.addrs, Internal: internal}
	cfg.Shards, cfg.Tick, cfg.ReserveBytes, cfg.SnapshotEntries = 3, 20*time.Millisecond, 0, 64
	return cfg, err
}

// alone is the config of a controller that has never heard of others.
func (s *site) alone(t testing.TB, id int32) Config {
	cfg := s.config(t, id)
	cfg.Others.Members = nil
	return cfg
}

func open(t testing.TB, cfg Config) *Quorum {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(cfg.Directory), 0o700))
	q, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	must(t, err)
	t.Cleanup(func() {
		if q.life.Err() == nil {
			_ = q.Close() // the test has failed
		}
	})
	return q
}

// testPatience is how long a test waits on a busy machine.
const testPatience = 90 * time.Second

func ready(t testing.TB, qs ...*Quorum) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	for _, q := range qs {
		if err := q.Ready(ctx); err != nil {
			t.Fatalf("controller %d: %v", q.cfg.ID, err)
		}
	}
}

func closed(t testing.TB, qs ...*Quorum) {
	t.Helper()
	var wg sync.WaitGroup
	for _, q := range qs {
		wg.Go(func() {
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// three opens three controllers as one cluster.
func (s *site) three(t testing.TB) []*Quorum {
	t.Helper()
	var qs []*Quorum
	for id := int32(1); id <= 3; id++ {
		qs = append(qs, open(t, s.config(t, id)))
	}
	ready(t, qs...)
	return qs
}

// note returns a command that leaves a group of that name.
func note(name string, offset int64) []byte {
	set := map[topic.Partition]meta.CommittedOffset{{Topic: topic.ID{1}}: {Offset: offset}}
	return machine.Encode(&machine.ChangeGroup{Name: name, Change: meta.GroupChange{Set: set}})
}

// propose proposes until a command is acknowledged.
func propose(t testing.TB, q *Quorum, shard int, name string) {
	t.Helper()
	for deadline := time.Now().Add(testPatience); ; {
		_, _, err := q.Propose(context.Background(), shard, note(name, 7))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// proposer proposes in all shards until stopped, and keeps what was acknowledged.
type proposer struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
	mu   sync.Mutex
	acks map[int][]string
}

func proposeIn(t testing.TB, prefix string, qs ...*Quorum) *proposer {
	ctx, cancel := context.WithCancel(context.Background())
	p := &proposer{stop: cancel, acks: make(map[int][]string)}
	for _, q := range qs {
		for shard := 1; shard <= q.cfg.Shards; shard++ {
			p.wg.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					name := fmt.Sprintf("%s-%d-%d-%d", prefix, q.cfg.ID, shard, n)
					if _, _, err := q.Propose(ctx, shard, note(name, 7)); err != nil {
						_ = pause(ctx, 20*time.Millisecond) // it may be closed
						continue
					}
					p.mu.Lock()
					p.acks[shard] = append(p.acks[shard], name)
					p.mu.Unlock()
				}
			})
		}
	}
	t.Cleanup(func() { p.end() })
	return p
}

func (p *proposer) end() map[int][]string {
	p.stop()
	p.wg.Wait()
	return p.acks
}

// count returns how many acknowledgements there are so far.
func (p *proposer) count() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, names := range p.acks {
		n += len(names)
	}
	return n
}

func (p *proposer) grows(t testing.TB) {
	t.Helper()
	want := p.count() + 10
	waitFor(t, "proposals to be acknowledged", func() bool { return p.count() >= want })
}

func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testPatience); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// same reports an error unless the state machines of all controllers are equal at the same index
// and have all that was acknowledged.
func same(t testing.TB, acks map[int][]string, qs ...*Quorum) {
	t.Helper()
	for shard := range qs[0].cfg.Shards + 1 {
		var first Snapshot
		for i, q := range qs {
			s := snapshotOf(t, q, shard, 0)
			if i > 0 && s.Index < first.Index {
				s = snapshotOf(t, q, shard, first.Index)
			}
			if i == 0 {
				first = s
			} else if s.Index != first.Index || !bytes.Equal(s.State, first.State) {
				t.Errorf("shard %d: controller %d is at %d with %d bytes, controller %d at %d with %d bytes",
					shard, qs[0].cfg.ID, first.Index, len(first.State), q.cfg.ID, s.Index, len(s.State))
			}
		}
		for _, name := range acks[shard] {
			if !bytes.Contains(first.State, []byte(name)) {
				t.Errorf("shard %d: %s was acknowledged and is not there", shard, name)
			}
		}
	}
}

func snapshotOf(t testing.TB, q *Quorum, shard int, at uint64) Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	if _, err := q.lookup(ctx, shard, func(state) any { return nil }); err != nil { // waits until it has applied all
		t.Fatalf("controller %d, shard %d: %v", q.cfg.ID, shard, err)
	}
	for {
		v, err := q.host.StaleRead(raftShard(shard), snapshotQuery{})
		must(t, err)
		if s := v.(Snapshot); s.Index >= at {
			return s
		}
		must(t, pause(ctx, 5*time.Millisecond))
	}
}

func TestThreeControllersAgreeAndSurviveAnyOne(t *testing.T) {
	s := newSite(t, 3)
	qs := s.three(t)
	acks := make(map[int][]string)
	for i := range qs {
		p := proposeIn(t, fmt.Sprint("round", i), qs...)
		p.grows(t)
		closed(t, qs[i])
		p.grows(t) // by the other two
		qs[i] = open(t, s.config(t, int32(i+1)))
		ready(t, qs[i])
		for shard, names := range p.end() {
			acks[shard] = append(acks[shard], names...)
		}
	}
	same(t, acks, qs...)
	closed(t, qs...)
}

// A controller that comes back with an empty disk gets a new number in each shard, and its old one
// is never used again.
func TestALostDiskRejoinsAsANewReplica(t *testing.T) {
	s := newSite(t, 3)
	qs := s.three(t)
	p := proposeIn(t, "a", qs[0], qs[2])
	p.grows(t)
	before := qs[1].ids.replica(1)
	closed(t, qs[1])
	must(t, os.RemoveAll(filepath.Dir(s.directory(2))))
	p.grows(t)
	qs[1] = open(t, s.config(t, 2))
	ready(t, qs[1])
	p.grows(t)
	after := qs[1].ids.replica(1)
	acks := p.end()
	for shard := range 4 {
		m, err := qs[0].membership(t.Context(), shard)
		must(t, err)
		_, voter := m.Nodes[after]
		if _, old := m.Removed[before]; !voter || !old || before == after || len(m.Nodes) != 3 || len(m.NonVotings) != 0 {
			t.Errorf("shard %d: replica %d became %d, members are %+v", shard, before, after, m.Membership)
		}
	}
	same(t, acks, qs...)
	closed(t, qs[0]) // the new one votes
	propose(t, qs[2], 1, "last")
	qs[1] = reopen(t, s, qs[1])
	same(t, acks, qs[1:]...)
	closed(t, qs[1:]...)
}

func reopen(t testing.TB, s *site, q *Quorum) *Quorum {
	t.Helper()
	closed(t, q)
	again := open(t, s.config(t, q.cfg.ID))
	ready(t, again)
	return again
}

// The number of controllers changes under load, by nothing but two calls.
func TestOneBecomesThreeAndOneAgain(t *testing.T) {
	s := newSite(t, 3)
	none := s.alone(t, 1)
	none.RaftAddress, none.Others = "", nil
	q1 := open(t, none) // as it was before it had an address
	propose(t, q1, 1, "alone")
	closed(t, q1)
	q1 = open(t, s.alone(t, 1))
	ready(t, q1)
	q2, q3 := open(t, s.config(t, 2)), open(t, s.config(t, 3)) // they wait to be added
	p := proposeIn(t, "a", q1)
	p.grows(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*testPatience)
	defer cancel()
	must(t, q1.AddController(ctx, 2, s.addrs[2], false))
	must(t, q1.AddController(ctx, 3, s.addrs[3], false))
	ready(t, q2, q3)
	p.grows(t)
	all, err := q2.Controllers(ctx)
	must(t, err)
	if len(all) != 3 || !all[0].Reachable || !all[2].Voter || all[1].Address != s.addrs[2] {
		t.Errorf("%+v", all)
	}
	must(t, q1.RemoveController(ctx, 3, false))
	closed(t, q3)
	must(t, q1.RemoveController(ctx, 2, false))
	closed(t, q2)
	p.grows(t)
	acks := p.end()
	acks[1] = append(acks[1], "alone")
	same(t, acks, q1)
	if err := q1.RemoveController(ctx, 1, true); err == nil {
		t.Error("the last controller was removed")
	}
	closed(t, q1)
	q1 = open(t, none)
	same(t, acks, q1)
	closed(t, q1)
}

// A removed controller does not come back by itself, nor with its old directory.
func TestARemovedControllerHasToBeAddedAnew(t *testing.T) {
	s := newSite(t, 3)
	qs := s.three(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*testPatience)
	defer cancel()
	must(t, qs[0].RemoveController(ctx, 3, false))
	if err := qs[0].AddController(ctx, 3, s.addrs[3], false); err == nil || !strings.Contains(err.Error(), "empty its metadata directory") {
		t.Errorf("added again with its old directory: %v", err)
	}
	closed(t, qs[2])
	must(t, os.RemoveAll(filepath.Dir(s.directory(3))))
	qs[2] = open(t, s.config(t, 3))
	waitFor(t, "a refusal", func() bool { // it may not join by itself
		for _, why := range qs[2].askAny(ctx, methodJoin, joining{Incarnation: qs[2].ids.get().Incarnation, Replicas: map[int]uint64{1: qs[2].ids.replica(1)}}) {
			return strings.Contains(why, "controller add 3")
		}
		return false
	})
	must(t, qs[1].AddController(ctx, 3, s.addrs[3], false))
	ready(t, qs[2])
	propose(t, qs[2], 2, "after")
	same(t, map[int][]string{2: {"after"}}, qs...)
	closed(t, qs...)
}

func TestLeadershipIsSpreadAndHandedOverOnStop(t *testing.T) {
	s := newSite(t, 3)
	var qs []*Quorum
	for id := int32(1); id <= 3; id++ {
		cfg := s.config(t, id)
		cfg.spreadAfter = 100 * time.Millisecond
		qs = append(qs, open(t, cfg))
	}
	ready(t, qs...)
	waitFor(t, "each shard to be led in its turn", func() bool {
		for shard := range 4 {
			if !qs[shard%3].Leads(shard) {
				return false
			}
		}
		return true
	})
	closed(t, qs[0])
	for shard := range 4 {
		waitFor(t, "another leader", func() bool { id, ok := qs[1].Leader(shard); return ok && id != 1 })
	}
	closed(t, qs[1:]...)
}

func TestWhatIsNotThisControllersIsRefused(t *testing.T) {
	s := newSite(t, 2)
	q := open(t, s.alone(t, 1))
	ready(t, q)
	closed(t, q)
	cfg := s.alone(t, 2)
	cfg.Directory = s.directory(1)
	if _, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "controller 1") {
		t.Errorf("another controller's directory: %v", err)
	}
	cfg = s.alone(t, 2)
	cfg.Others = nil
	if _, err := Open(t.Context(), cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "certificates") {
		t.Errorf("without certificates: %v", err)
	}
}
