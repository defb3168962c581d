package compact

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
)

// spoil returns b with another codec in its header and a matching checksum: its
// content cannot be decompressed with it.
func spoil(b record.Batch, c record.Codec) record.Batch {
	b = bytes.Clone(b)
	b[22] = b[22]&^7 | byte(c)
	b.SetLogAppendTime(b.MaxTimestamp()) // computes the checksum again
	return b
}

// short returns b, of two records, with a byte of the second missing.
func short(b record.Batch) record.Batch {
	b = bytes.Clone(b[:len(b)-1])
	b[11]--
	b.SetLogAppendTime(b.MaxTimestamp())
	return b
}

// An unreadable batch is kept unchanged; the batches around it are compacted, and
// it supersedes nothing, not even by its readable records.
func TestOpaqueBatchesStayAndTheRestIsCompacted(t *testing.T) {
	for name, make := range map[string]func(base int64) record.Batch{
		"not gzip": func(base int64) record.Batch {
			return spoil(batch(t, base, 1, record.None, kv{"a", "x"}, kv{"b", "x"}), record.Gzip)
		},
		"not zstd": func(base int64) record.Batch {
			return spoil(batch(t, base, 1, record.LZ4, kv{"a", "x"}, kv{"b", "x"}), record.Zstd)
		},
		"second record cut short": func(base int64) record.Batch {
			return short(batch(t, base, 1, record.None, kv{"a", "x"}, kv{"b", "x"}))
		},
		"unpacks to more than there may be": func(base int64) record.Batch {
			return batch(t, base, 1, record.Zstd, kv{"a", "x"}, kv{"b", strings.Repeat("x", record.MaxUnpacked)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, DefaultConfig())
			var log bytes.Buffer
			r.c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			r.topic(1, compacted)
			bad := make(2)
			r.upload(map[int32][]record.Batch{0: {batch(t, 0, 1, record.Zstd, kv{"a", "1"}, kv{"c", "1"}), bad}})
			r.upload(map[int32][]record.Batch{0: {batch(t, 4, 1, record.Zstd, kv{"b", "2"}, kv{"c", "2"}), make(6)}}) // the last of its object
			r.upload(map[int32][]record.Batch{0: {batch(t, 8, 1, record.Zstd, kv{"b", "3"})}})
			for range 2 { // the second pass has something new to do
				if !r.clean(0) {
					t.Fatal("nothing to clean")
				}
				r.upload(map[int32][]record.Batch{0: {batch(t, r.partition(0).TierEnd, 1, record.None, kv{"d", "4"})}})
			}
			var kept []record.Batch
			var sound []record.Record
			for _, ref := range r.partition(0).Objects {
				for b, err := range r.c.batches(t.Context(), r.at(0), ref, ref.Base) {
					if err != nil {
						t.Fatal(err)
					}
					if at := b.BaseOffset(); at == 2 || at == 6 {
						kept = append(kept, bytes.Clone(b))
						continue
					}
					for x, err := range b.Records(1 << 20) {
						if err != nil {
							t.Fatal(err)
						}
						sound = append(sound, x.Clone())
					}
				}
			}
			if len(kept) != 2 || !bytes.Equal(kept[0], bad) || !bytes.Equal(kept[1], make(6)) {
				t.Errorf("%d batches are left as they were", len(kept))
			}
			if got := show(sound); got != "a=1@0 c=2@5 b=3@8 d=4@9 d=4@10" {
				t.Errorf("the others are %s", got)
			}
			if n := strings.Count(log.String(), "compaction keeps it unchanged"); n != 2 || !strings.Contains(log.String(), "topic=t partition=0 offset=2 next_offset=4 object=") {
				t.Errorf("it was logged %d times:\n%s", n, &log)
			}
			if n := testutil.ToFloat64(r.c.metrics.opaque); n != 4 {
				t.Errorf("%v were counted in two passes", n)
			}
		})
	}
}

// A partition whose compaction fails is retried with increasing pauses, the log
// names it, and the others continue.
func TestFailingPartitionIsRetriedWithIncreasingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, DefaultConfig())
		var log bytes.Buffer
		r.c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		r.topic(2, nil)
		tries := 0
		r.meta.fail = func(x meta.Replacement) error {
			if x.Old[0].Base < 1000 {
				tries++
				return errors.New("away")
			}
			return nil
		}
		r.meta.topic.Partitions[1].TierEnd = 1000
		for i := range int64(8) {
			r.upload(map[int32][]record.Batch{0: {batch(t, i, 1, record.None, kv{"k", "v"})},
				1: {batch(t, 1000+i, 1, record.None, kv{"k", "v"})}})
		}
		graph(t, r, func(*pipeline.Graph) {
			time.Sleep(4 * time.Hour)
			synctest.Wait()
		})
		if tries < 10 || tries > 24 {
			t.Errorf("%d attempts in four hours", tries)
		}
		if n := len(r.partition(1).Objects); n != 1 {
			t.Errorf("the other partition has %d objects", n)
		}
		if !strings.Contains(log.String(), `topic \"t\" partition 0`) {
			t.Errorf("the log does not name the partition:\n%s", &log)
		}
	})
}
