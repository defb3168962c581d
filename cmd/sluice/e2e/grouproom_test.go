package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/memory"
)

// grouped is a broker with limits on consumer groups. Its data directory outlives its processes.
type grouped struct {
	*broker
	t     *testing.T
	text  string
	admin *kadm.Client
}

func newGrouped(t *testing.T, settings string) *grouped {
	t.Helper()
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	g := &grouped{t: t, text: fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[admin]
listen = %q
[groups]
initial_rebalance_delay_ms = 0
%s`, dir, addr, admin, settings)}
	g.broker = &broker{dir: dir, addr: addr, admin: admin}
	g.begin()
	g.must("", "topic", "create", "orders", "--partitions", "10", "--transport", "tcp")
	g.must("one\n", "produce", "orders", "--partition", "0", "--transport", "tcp")
	return g
}

func (g *grouped) begin() {
	g.t.Helper()
	b := role(g.t, "broker", g.text, g.broker.admin)
	b.dir, b.addr = g.broker.dir, g.broker.addr
	g.broker = b
	g.admin = kadm.NewClient(b.client(kgo.RequestRetries(0)))
}

// commit commits an offset for each of the first n partitions, with metadata of text bytes each, as
// a client that is not a member of the group.
func (g *grouped) commit(group string, offset int64, n, text int) error {
	g.t.Helper()
	var all kadm.Offsets
	for p := range n {
		all.Add(kadm.Offset{Topic: "orders", Partition: int32(p), At: offset, LeaderEpoch: -1, Metadata: strings.Repeat("x", text)})
	}
	got, err := g.admin.CommitOffsets(deadline(g.t), group, all)
	return errors.Join(err, got.Error())
}

// groups returns the names of all groups in order.
func (g *grouped) groups() []string {
	g.t.Helper()
	got, err := g.admin.ListGroups(deadline(g.t))
	if err != nil {
		g.t.Fatal(err)
	}
	return got.Groups()
}

// consume starts a group member that polls until leave is called. The values that it reads are sent
// to read.
func (g *grouped) consume(group string) (read chan string, leave func()) {
	g.t.Helper()
	cl := g.client(kgo.ConsumerGroup(group), kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }))
	read = make(chan string, 100)
	ctx, cancel := context.WithCancel(g.t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { read <- string(r.Value) })
		}
	}()
	leave = func() { cancel(); <-over; cl.Close() }
	g.t.Cleanup(leave)
	return read, leave
}

func receive(t *testing.T, read chan string) {
	t.Helper()
	select {
	case <-read:
	case <-time.After(60 * time.Second):
		t.Fatal("nothing was read")
	}
}

// A new group is admitted at once even when the limit is filled with empty groups. The group that was
// unused for longest is removed, and stays removed after a kill.
func TestEmptyGroupsMakeRoom(t *testing.T) {
	g := newGrouped(t, "max_groups = 30\n")
	read, _ := g.consume("working")
	receive(t, read)
	var names []string
	for i := range 29 {
		names = append(names, fmt.Sprintf("group-%02d", i))
		if err := g.commit(names[i], int64(i), 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.commit(names[0], 100, 1, 0); err != nil { // no longer the least recently used
		t.Fatal(err)
	}
	began := time.Now()
	fresh, leave := g.consume("fresh")
	receive(t, fresh)
	t.Logf("a consumer of a new group has its first record after %v", time.Since(began))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	want := slices.Concat([]string{"fresh", names[0]}, names[2:], []string{"working"})
	if got := g.groups(); !slices.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
	if n := g.metric("sluice_group_evicted_total"); n != 1 || g.metric("sluice_group_refused_total") != 0 {
		t.Errorf("%v groups were removed, %v requests refused", n, g.metric("sluice_group_refused_total"))
	}
	until(t, g.broker, "the log says which group was removed", 10*time.Second, func() bool {
		log := g.log.String()
		return strings.Contains(log, "unused the longest") && strings.Contains(log, "group="+names[1])
	})
	leave()
	g.kill()
	g.begin()
	if got := g.groups(); !slices.Equal(got, want) {
		t.Errorf("after a kill: groups %v, want %v", got, want)
	}
	offsets, err := g.admin.FetchOffsets(deadline(t), names[1])
	if err != nil || len(offsets) != 0 {
		t.Errorf("the group that was removed has %v, %v", offsets, err)
	}
	for i, next := range []string{"new-0", "new-1", "new-2"} { // the order is durable
		if err := g.commit(next, 1, 1, 0); err != nil {
			t.Fatal(err)
		}
		if got := g.groups(); slices.Contains(got, names[2+i]) || !slices.Contains(got, names[3+i]) || !slices.Contains(got, next) {
			t.Errorf("after %s: groups %v", next, got)
		}
	}
	if got := g.groups(); !slices.Contains(got, names[0]) || len(got) != 30 {
		t.Errorf("groups %v", got)
	}
}

// If all groups have members, a new one gets a retriable error. Clients retry by themselves, so it is
// admitted as soon as another group's members have left.
func TestGroupsWithMembersMakeNoRoom(t *testing.T) {
	began := time.Now()
	g := newGrouped(t, "max_groups = 2\n")
	first, leave := g.consume("first")
	receive(t, first)
	second, _ := g.consume("second")
	receive(t, second)
	if err := g.commit("simple", 1, 1, 0); !errors.Is(err, kerr.CoordinatorNotAvailable) {
		t.Errorf("commit: %v", err)
	}
	third, _ := g.consume("third")
	until(t, g.broker, "the third is refused", 30*time.Second, func() bool { return g.metric("sluice_group_refused_total") >= 2 })
	if got := g.groups(); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("groups %v", got)
	}
	if n := strings.Count(g.log.String(), "consumer groups have reached their limits"); n < 1 || n > 1+int(time.Since(began)/time.Minute) {
		t.Errorf("that there is no room was logged %d times in %v", n, time.Since(began))
	}
	leave()
	receive(t, third)
	if got := g.groups(); !slices.Equal(got, []string{"second", "third"}) {
		t.Errorf("groups %v", got)
	}
}

// Committed offsets and their metadata are counted in the memory map and kept within its limit.
func TestOffsetsOfGroupsAreInTheMemoryMap(t *testing.T) {
	g := newGrouped(t, "max_metadata_bytes = 1048576\nmax_group_bytes = 131072\n")
	m := watchMemory(t, g.broker)
	for i := range 100 { // about 45 kB each
		if err := g.commit(fmt.Sprintf("group-%02d", i), 1, 10, 4096); err != nil {
			t.Fatal(err)
		}
	}
	got := g.groups()
	if len(got) < 20 || len(got) > 24 || got[len(got)-1] != "group-99" || got[0] != fmt.Sprintf("group-%02d", 100-len(got)) {
		t.Errorf("groups %v", got)
	}
	if err := g.commit("group-99", 1, 1, 4097); !errors.Is(err, kerr.OffsetMetadataTooLarge) {
		t.Errorf("a longer text: %v", err)
	}
	until(t, g.broker, "the line is filled", 10*time.Second, func() bool { return m.of(memory.Groups) >= 900<<10 })
	g.kill()
	g.begin()
	if n := g.metric("sluice_memory_bytes", `use="groups"`); n < 900<<10 || n > 1<<20 {
		t.Errorf("%v bytes after a kill", n)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.over) > 0 {
		t.Errorf("a line was above its limit: %v", m.over[0])
	}
}

// A lowered limit applies right after the restart.
func TestALowerLimitOnGroupsHoldsFromTheStart(t *testing.T) {
	g := newGrouped(t, "max_groups = 12\n")
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("group-%02d", i))
		if err := g.commit(names[i], 1, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	g.kill()
	g.text = strings.Replace(g.text, "max_groups = 12", "max_groups = 4", 1)
	g.begin()
	until(t, g.broker, "the oldest are gone", 30*time.Second, func() bool { return len(g.groups()) == 4 })
	if got := g.groups(); !slices.Equal(got, names[8:]) {
		t.Errorf("groups %v", got)
	}
	if n := g.metric("sluice_group_evicted_total"); n != 8 {
		t.Errorf("%v groups were removed", n)
	}
	until(t, g.broker, "each is logged", 10*time.Second, func() bool { return strings.Count(g.log.String(), "unused the longest") == 8 })
}
