package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/record"
)

// producerFrame encodes a Produce request with one record of a producer ID.
func producerFrame(t testing.TB, topic string, id int64, sequence int32) []byte {
	t.Helper()
	b := record.NewBuilder()
	b.ProducerID, b.ProducerEpoch, b.BaseSequence = id, 0, sequence
	batch, err := b.Add(1_700_000_000_000, nil, []byte("v")).Build()
	if err != nil {
		t.Fatal(err)
	}
	return produceFrame(topic, 0, 1, batch)
}

// manyProducers produces one record for each producer ID in [from, to).
func (b *broker) manyProducers(topic string, from, to int64) {
	b.t.Helper()
	var frames [][]byte
	for id := from; id < to; id++ {
		frames = append(frames, producerFrame(b.t, topic, id, 0))
	}
	w := b.dial(frames...)
	defer w.conn.Close()
	const window = 200
	for sent, got := 0, 0; got < len(frames); {
		for sent < len(frames) && sent-got < window {
			if err := w.send(); err != nil {
				b.t.Fatal(err)
			}
			sent++
		}
		if err := w.receive(); err != nil {
			b.t.Fatal(err)
		}
		got++
	}
}

// again sends a record of a producer, retrying while the leader is not available, and returns the
// record's offset.
func (b *broker) again(topic string, id int64, sequence int32) int64 {
	b.t.Helper()
	w := b.dial(producerFrame(b.t, topic, id, sequence))
	defer w.conn.Close()
	for end := time.Now().Add(30 * time.Second); ; <-time.After(50 * time.Millisecond) {
		if err := w.send(); err != nil {
			b.t.Fatal(err)
		}
		err := w.receive()
		if err == nil {
			return w.resp.Topics[0].Partitions[0].BaseOffset
		}
		if !errors.Is(err, kerr.LeaderNotAvailable) || time.Now().After(end) {
			b.t.Fatal(err)
		}
	}
}

// producerObjects returns the paths of objects that hold only producer snapshots.
func (b *broker) producerObjects() (paths []string) {
	b.t.Helper()
	err := filepath.WalkDir(filepath.Join(b.dir, "objects"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) == "owner" || strings.HasSuffix(path, ".attrs") {
			return err
		}
		if out := b.must("", "object", "dump", path); strings.Contains(out, " producers in ") && strings.Contains(out, ", 0 partitions,") {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return paths
}

// A partition's state of idempotent producers survives kill -9, wherever it is: in a snapshot in the
// object store, in one in the metadata, only in the WAL, or in several of them. A batch that is sent
// again gets its original offset.
func TestProducersSurviveAKill(t *testing.T) {
	b := newBroker(t)
	b.createTopic("t", 1)
	b.manyProducers("t", 0, 1000) // in the object store
	b.again("t", 0, 1)
	b.hurry()
	b.manyProducers("t", 1000, 1010) // in the metadata
	b.again("t", 1, 1)
	b.hurry()
	b.manyProducers("t", 1010, 1020) // in the WAL
	b.again("t", 2, 1)
	if n := len(b.producerObjects()); n == 0 {
		t.Fatal("there are no snapshots in the object store")
	}
	for range 2 {
		b.kill()
		b.start()
		for _, sent := range []struct {
			id       int64
			sequence int32
			offset   int64
		}{{0, 0, 0}, {0, 1, 1000}, {1, 0, 1}, {1, 1, 1011}, {2, 0, 2}, {2, 1, 1022}, {500, 0, 500}, {999, 0, 999}, {1000, 0, 1001}, {1009, 0, 1010}, {1010, 0, 1012}, {1019, 0, 1021}} {
			if got := b.again("t", sent.id, sent.sequence); got != sent.offset {
				t.Errorf("record %d of producer %d is acknowledged at %d, it was at %d", sent.sequence, sent.id, got, sent.offset)
			}
		}
		if got := b.again("t", 5000, 0); got < 1023 {
			t.Errorf("a new producer's record is acknowledged at %d", got)
		}
	}
	b.stop()
}

// A snapshot that cannot be read is reported, blocks only producers that it may contain, and is read
// once it is back.
func TestSnapshotOfProducersIsAway(t *testing.T) {
	b := newBroker(t)
	b.createTopic("t", 1)
	b.manyProducers("t", 0, 1000)
	b.hurry()
	paths := b.producerObjects()
	if len(paths) == 0 {
		t.Fatal("there are no snapshots in the object store")
	}
	verify := func() (string, int) {
		t.Helper()
		out, stderr, code := b.sluice("", "object", "verify", "--metadata", "--admin", b.admin, "--store", "file://"+filepath.Join(b.dir, "objects"))
		return out + stderr, code
	}
	if out, code := verify(); code != 0 || !strings.Contains(out, " intact") || strings.Contains(out, "unreferenced") {
		t.Errorf("verify: exit %d: %s", code, out)
	}
	b.kill()
	for i, path := range paths { // the first goes missing, the others are damaged
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			err = os.Rename(path, path+".away")
		} else {
			data[len(data)/3] ^= 1
			err = os.WriteFile(path, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	if out, code := verify(); code != 1 || !strings.Contains(out, "missing: producers of t/0 in object ") {
		t.Errorf("verify with a snapshot away: exit %d: %s", code, out)
	}
	w := b.dial(producerFrame(t, "t", 7, 0))
	if err := errors.Join(w.send(), w.receive()); !errors.Is(err, kerr.LeaderNotAvailable) {
		t.Errorf("a record that may have been sent before: %v", err)
	}
	if got := b.again("t", 5000, 0); got != 1000 {
		t.Errorf("a new producer's record is at %d", got)
	}
	if got := b.again("t", -1, -1); got != 1001 {
		t.Errorf("a record of no idempotent producer is at %d", got)
	}
	until(t, b, "an ERROR", 20*time.Second, func() bool {
		return strings.Contains(b.log.String(), "cannot load the idempotent producers of a partition") && b.metric("sluice_producers_load_failures_total") > 0
	})
	if n := b.metric("sluice_producers_loading_partitions"); n != 1 {
		t.Errorf("%v partitions are loading", n)
	}
	if err := os.Rename(paths[0]+".away", paths[0]); err != nil {
		t.Fatal(err)
	}
	if got := b.again("t", 7, 0); got != 7 {
		t.Errorf("with the snapshot back the record is acknowledged at %d", got)
	}
}

// TestManyProducerIDs measures an upload and a restart with many producer IDs on one partition:
// SLUICE_PRODUCER_IDS of them (400000, say), or 5000 by default.
func TestManyProducerIDs(t *testing.T) {
	ids := int64(5000)
	if n, err := strconv.ParseInt(os.Getenv("SLUICE_PRODUCER_IDS"), 10, 64); err == nil {
		ids = n
	}
	b := newBroker(t)
	b.createTopic("t", 1)
	b.manyProducers("t", 0, ids)
	b.hurry()
	before := b.metric("sluice_metadata_proposed_bytes_total")
	b.again("t", ids, 0)
	b.hurry()
	oneRecord := b.metric("sluice_metadata_proposed_bytes_total") - before
	used := b.metric("sluice_memory_bytes", `"producers"`)
	b.kill()
	began := time.Now()
	b.start()
	serving := time.Since(began)
	until(t, b, "snapshots are read", time.Minute, func() bool { return b.metric("sluice_producers_loading_partitions") == 0 })
	loaded := time.Since(began)
	t.Logf("%d producer ids: serving after %s, loaded after %s; %.0f bytes of changes for an upload of one record; %.1f MB, %.1f after the start, resident %.0f MB",
		ids, serving.Round(time.Millisecond), loaded.Round(time.Millisecond), oneRecord, used/1e6, b.metric("sluice_memory_bytes", `"producers"`)/1e6, b.metric("process_resident_memory_bytes")/1e6)
	if known := b.metric("sluice_producers_ids"); known != float64(ids+1) {
		t.Errorf("%.0f producers are known", known)
	}
	for _, id := range []int64{0, ids / 2, ids - 1, ids} {
		if got := b.again("t", id, 0); got != id {
			t.Errorf("a retry of producer %d is acknowledged at %d", id, got)
		}
	}
	if oneRecord >= 4<<10 {
		t.Errorf("an upload of one record has brought %.0f bytes to the metadata", oneRecord)
	}
	if limit := b.metric("sluice_memory_limit_bytes", `"producers"`); used > limit {
		t.Errorf("%.0f of %.0f bytes", used, limit)
	}
	if os.Getenv("SLUICE_PRODUCER_IDS") != "" && loaded > 2*time.Second {
		t.Errorf("a start takes %s", loaded)
	}
}
