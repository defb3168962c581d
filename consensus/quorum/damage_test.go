package quorum

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// allDamages, if set, has each bit and each length of the newest log tried, instead of a sample.
const allDamages = "SLUICE_TEST_ALL_DAMAGES"

// newestLog returns the newest log file of a controller's replica of a shard.
func newestLog(t testing.TB, s *site, q *Quorum, shard int) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(s.directory(q.cfg.ID), "*", "*", "tandb", nodeName(q.ids.of(shard)), "*.log"))
	must(t, err)
	if len(logs) == 0 {
		t.Fatal("no log")
	}
	return logs[len(logs)-1]
}

// damage is one way to spoil a file, at a position that is taken modulo its length.
type damage struct {
	what  string
	at    int
	spoil func(b []byte, at int) []byte
}

func flip(bit byte) func([]byte, int) []byte {
	return func(b []byte, at int) []byte { b[at] ^= 1 << bit; return b }
}

func cut(b []byte, at int) []byte { return b[:at] }

func garbage(b []byte, at int) []byte {
	random := rand.New(rand.NewPCG(uint64(at), 1))
	for i := at; i < len(b); i++ {
		b[i] = byte(random.Uint32())
	}
	return b
}

func damages(size int) (all []damage) {
	if os.Getenv(allDamages) != "" {
		for at := range size {
			for bit := range byte(8) {
				all = append(all, damage{fmt.Sprint("bit ", bit), at, flip(bit)})
			}
			all = append(all, damage{"cut", at, cut}, damage{"garbage", at, garbage})
		}
		return all
	}
	random := rand.New(rand.NewPCG(7, 7))
	for range 3 {
		all = append(all, damage{"bit", random.IntN(1 << 20), flip(byte(random.IntN(8)))})
	}
	return append(all, damage{"cut", random.IntN(1 << 20), cut}, damage{"garbage", random.IntN(1 << 20), garbage})
}

// Whatever has happened to one controller's newest log, it comes back with all that was
// acknowledged: from its own log if nothing is missing there, otherwise from the others.
func TestADamagedLogIsRepairedFromTheOthers(t *testing.T) {
	s := newSite(t, 3)
	qs := s.three(t)
	var names []string
	add := func(name string) {
		propose(t, qs[0], 1, name)
		names = append(names, name)
	}
	for i := range 20 {
		add(fmt.Sprint("before-", i))
	}
	path := newestLog(t, s, qs[1], 1)
	st, err := os.Stat(path)
	must(t, err)
	rejoined := 0
	for i, d := range damages(int(st.Size())) {
		propose(t, qs[1], 1, "seen") // so its log has what follows
		snapshotOf(t, qs[1], 1, 0)
		number := qs[1].ids.replica(1)
		closed(t, qs[1])
		path := newestLog(t, s, qs[1], 1)
		b, err := os.ReadFile(path)
		must(t, err)
		if len(b) == 0 {
			t.Fatalf("%s is empty", path)
		}
		must(t, os.WriteFile(path, d.spoil(b, d.at%len(b)), 0o600))
		add(fmt.Sprint("meanwhile-", i))
		qs[1] = open(t, s.config(t, 2))
		ready(t, qs[1])
		if qs[1].ids.replica(1) != number {
			rejoined++
		}
		same(t, map[int][]string{1: names}, qs...)
		if t.Failed() {
			t.Fatal(d.what, d.at)
		}
	}
	if rejoined == 0 {
		t.Error("no damage needed the others")
	}
	t.Logf("%d of the damages were repaired from the others", rejoined)
	closed(t, qs...)
}

// A guard on another disk outlives the logs. They are missed, and replaced.
func TestLogsThatOnlyTheGuardRemembersAreReplaced(t *testing.T) {
	s := newSite(t, 3)
	qs := s.three(t)
	propose(t, qs[1], 1, "before")
	number := qs[1].ids.replica(1)
	closed(t, qs[1])
	must(t, os.RemoveAll(s.directory(2)))
	propose(t, qs[2], 1, "meanwhile")
	qs[1] = open(t, s.config(t, 2))
	ready(t, qs[1])
	if qs[1].ids.replica(1) == number {
		t.Error("a lost replica came back under its number")
	}
	same(t, map[int][]string{1: {"before", "meanwhile"}}, qs...)
	closed(t, qs...)
}
