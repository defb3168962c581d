package consensus_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/lni/dragonboat/v4/raftpb"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/consensus/tanlog"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// written is a node's data directory with everything that was acknowledged there.
type written struct {
	dir    string // parent of meta and meta.guard
	view   *meta.View
	groups map[string]*meta.Group
}

func (w written) config() consensus.Config {
	cfg := small(filepath.Join(w.dir, "meta"))
	cfg.SnapshotEntries, cfg.ReserveBytes = 32, 0
	return cfg
}

// write makes enough changes that all shards have logs, and some have snapshots.
func write(t *testing.T, dir string) written {
	t.Helper()
	w := written{dir: dir, groups: make(map[string]*meta.Group)}
	c := open(t, w.config())
	register(t, c, 1)
	fill(t, c)
	orders, _ := c.View().TopicByName("orders")
	at := topic.Partition{Topic: orders.ID}
	for i := range int64(60) {
		change := meta.GroupChange{Set: map[topic.Partition]meta.CommittedOffset{at: {Offset: i}}}
		must(t, c.ChangeGroup(t.Context(), fmt.Sprintf("g%d", i%12), change))
	}
	for i := range 12 {
		create(t, c, fmt.Sprintf("topic-%d", i), 5)
	}
	w.view = c.View()
	for _, g := range c.Groups() {
		w.groups[g.Name] = g
	}
	closed(t, c)
	return w
}

// copied returns a copy in another directory.
func (w written) copied(t *testing.T) written {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(w.dir)))
	w.dir = dir
	return w
}

// files returns the paths of all files, relative to w.dir.
func (w written) files(t *testing.T) (paths []string) {
	t.Helper()
	must(t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(w.dir, path)
		paths = append(paths, rel)
		return err
	}))
	return paths
}

// outcome is the result of a start on a damaged disk.
type outcome string

const (
	refusedStart outcome = "refused"
	partly       outcome = "a shard offline"
	allThere     outcome = "all there"
	silent       outcome = "SILENT LOSS"
)

// start opens the directory and compares its contents with what was acknowledged.
func (w written) start(t *testing.T) (outcome, error) {
	t.Helper()
	c, err := consensus.Open(t.Context(), w.config(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		if strings.Contains(err.Error(), "goroutine ") {
			t.Errorf("the error is %q", err)
		}
		return refusedStart, err
	}
	defer closed(t, c)
	if err := w.missing(c); err != nil {
		return silent, err
	}
	if len(c.Offline()) > 0 {
		return partly, fmt.Errorf("%v", c.Offline())
	}
	return allThere, nil
}

// missing returns what of w is missing from shards that are not offline.
func (w written) missing(c *consensus.Cluster) error {
	none := len(c.Offline()) == 0
	for _, was := range w.view.Topics() {
		now, ok := c.View().TopicByID(was.ID)
		if !ok || len(now.Partitions) != len(was.Partitions) || !reflect.DeepEqual(now.Configs, was.Configs) {
			return fmt.Errorf("topic %s is %+v", was.Name, now)
		}
		for i, p := range now.Partitions {
			if p.Offline && !none {
				continue
			}
			if !reflect.DeepEqual(p, was.Partitions[i]) {
				return fmt.Errorf("%s/%d is %+v, was %+v", was.Name, i, p, was.Partitions[i])
			}
		}
	}
	for name, was := range w.groups {
		now, ok := c.Group(name)
		if !ok && c.GroupOffline(name) != nil {
			continue
		}
		if !ok || !reflect.DeepEqual(now, was) {
			return fmt.Errorf("group %s is %+v, was %+v", name, now, was)
		}
	}
	return nil
}

// damages returns ways to damage a file's contents; nil removes the file.
func damages(b []byte, random *rand.Rand) map[string][]byte {
	d := map[string][]byte{"removed": nil, "zeros": make([]byte, len(b)), "empty": {}}
	if len(b) == 0 {
		return map[string][]byte{"removed": nil}
	}
	for range 2 {
		at := random.IntN(len(b))
		flipped := bytes.Clone(b)
		flipped[at] ^= 1 << random.IntN(8)
		d[fmt.Sprintf("a bit of byte %d", at)] = flipped
		d[fmt.Sprintf("cut to %d", at)] = b[:at]
	}
	return d
}

// TestDamageAtRest: whatever happens to a single file, nothing that was acknowledged is
// silently missing.
func TestDamageAtRest(t *testing.T) {
	original := write(t, t.TempDir())
	random := rand.New(rand.NewPCG(1, 2))
	counts := make(map[outcome]int)
	for _, name := range original.files(t) {
		if testing.Short() && !strings.Contains(name, "-1-1") && !strings.Contains(name, "-3-1") && strings.Count(name, "/") > 2 {
			continue // two shards are enough
		}
		b, err := os.ReadFile(filepath.Join(original.dir, name))
		must(t, err)
		for what, spoiled := range damages(b, random) {
			w := original.copied(t)
			path := filepath.Join(w.dir, name)
			if spoiled == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, spoiled, 0o600)
			}
			must(t, err)
			got, why := w.start(t)
			counts[got]++
			if got == silent {
				t.Errorf("%s, %s: %s: %v", name, what, got, why)
			}
			t.Logf("%s, %s: %s %v", name, what, got, why)
			must(t, os.RemoveAll(w.dir))
		}
	}
	t.Log(counts)
}

// TestEachByteOfASnapshot: dragonboat panics on a snapshot that differs from what it wrote, on
// a goroutine of its own. So we check every byte that it checks beforehand.
func TestEachByteOfASnapshot(t *testing.T) {
	w := write(t, t.TempDir())
	snapshots := 0
	for _, name := range w.files(t) {
		if filepath.Ext(name) != ".gbsnap" {
			continue
		}
		snapshots++
		whole, err := os.ReadFile(filepath.Join(w.dir, name))
		must(t, err)
		var h raftpb.SnapshotHeader
		must(t, h.Unmarshal(whole[8:8+binary.LittleEndian.Uint64(whole)]))
		check := func(b []byte) error {
			return tanlog.CheckSnapshot(bytes.NewReader(b), int64(len(b)), h.PayloadChecksum)
		}
		must(t, check(whole))
		for at := range whole {
			for bit := range 8 {
				b := bytes.Clone(whole)
				b[at] ^= 1 << bit
				if check(b) == nil {
					t.Fatalf("%s: bit %d of byte %d", name, bit, at)
				}
			}
		}
	}
	if snapshots == 0 {
		t.Fatal("no snapshot found")
	}
}
