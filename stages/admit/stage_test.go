package admit_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/admit"
)

var noon = time.UnixMilli(1_700_000_000_000)

func batch(t *testing.T, edit func(*record.Builder)) record.Batch {
	t.Helper()
	b := record.NewBuilder()
	if edit != nil {
		edit(b)
	}
	if b.Len() == 0 {
		b.Add(noon.UnixMilli(), []byte("k"), []byte("v"))
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// open runs a pipeline of the admit stage and a sink that acknowledges everything.
func open(t *testing.T, lanes int) (*admit.Stage, *[]*flow.Write) {
	t.Helper()
	s := admit.New(lanes, clock.NewManual(noon), prometheus.NewRegistry())
	var seen []*flow.Write
	g := pipeline.New("test")
	pipeline.Into(pipeline.From(g, "admit", s), "out", pipeline.SinkFunc[*flow.Write](
		func(ctx context.Context, in *pipeline.In[*flow.Write]) error {
			for p := range in.All(ctx) {
				seen = append(seen, p.Body)
				p.Settle(nil)
			}
			return nil
		}))
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- g.Run(ctx, time.Minute) }()
	<-g.Ready()
	t.Cleanup(func() {
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return s, &seen
}

func appendAll(t *testing.T, s *admit.Stage, as []flow.Append) {
	t.Helper()
	done := make(chan error, 2)
	s.Append(t.Context(), pipeline.Holder{}, as, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRejectsInvalidBatches(t *testing.T) {
	small := partition.DefaultSettings()
	small.MaxMessageBytes = 100
	compacted, unbounded := partition.DefaultSettings(), partition.DefaultSettings()
	compacted.Compacted = true
	unbounded.TimestampAfterMs = math.MaxInt64
	for _, c := range []struct {
		name     string
		settings partition.Settings
		batch    record.Batch
		want     error
	}{
		{"good", partition.DefaultSettings(), batch(t, nil), nil},
		{"bad checksum", partition.DefaultSettings(), func() record.Batch { b := batch(t, nil); b[len(b)-1] ^= 1; return b }(), record.ErrCorrupt},
		{"too large", small, batch(t, func(b *record.Builder) { b.Add(noon.UnixMilli(), nil, make([]byte, 200)) }), record.ErrTooLarge},
		{"control", partition.DefaultSettings(), batch(t, func(b *record.Builder) {
			b.Control, b.Transactional, b.ProducerID, b.ProducerEpoch, b.BaseSequence = true, true, 1, 0, 0
		}), admit.ErrControl},
		{"from the future", partition.DefaultSettings(), batch(t, func(b *record.Builder) {
			b.Add(noon.Add(2*time.Hour).UnixMilli(), nil, nil)
		}), record.ErrTimestamp},
		{"no key", compacted, batch(t, func(b *record.Builder) {
			b.Codec = record.Zstd
			b.Add(noon.UnixMilli(), []byte("k"), nil)
			b.Add(noon.UnixMilli(), nil, []byte("v"))
		}), record.ErrNoKey},
		{"one from the future among others", partition.DefaultSettings(), batch(t, func(b *record.Builder) {
			b.Codec = record.Gzip
			b.Add(noon.Add(2*time.Hour).UnixMilli(), nil, nil)
			b.Add(noon.UnixMilli(), nil, nil)
		}), record.ErrTimestamp},
		{"any time, if the topic sets no bounds", unbounded, batch(t, func(b *record.Builder) { b.Add(math.MaxInt64, nil, nil) }), nil},
		{"empty", partition.DefaultSettings(), nil, record.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, seen := open(t, 2)
			st := partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0)
			st.Configure(c.settings)
			as := []flow.Append{{Partition: st.ID, State: st, Batch: c.batch}}
			appendAll(t, s, as)
			if !errors.Is(as[0].Err, c.want) {
				t.Errorf("got %v, want %v", as[0].Err, c.want)
			}
			if (len(*seen) == 1) != (c.want == nil) {
				t.Errorf("%d writes passed", len(*seen))
			}
		})
	}
}

// The times in the header are corrected from the records, since retention and
// searches by time rely on them.
func TestHeaderTimestampIsSetFromTheRecords(t *testing.T) {
	for _, codec := range []record.Codec{record.None, record.LZ4} {
		for _, claim := range []int64{-1, noon.UnixMilli() - 5, math.MaxInt64} {
			for _, bit := range []bool{false, true} {
				b := batch(t, func(b *record.Builder) {
					b.Codec = codec
					b.Add(noon.UnixMilli()-5, []byte("k"), nil)
					b.Add(noon.UnixMilli()+7, []byte("k"), nil)
				})
				if bit {
					b.SetLogAppendTime(claim)
				} else {
					b.SetCreateTime(claim)
				}
				s, seen := open(t, 1)
				st := partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0)
				appendAll(t, s, []flow.Append{{Partition: st.ID, State: st, Batch: b}})
				if len(*seen) != 1 || b.MaxTimestamp() != noon.UnixMilli()+7 || b.LogAppendTime() || b.Verify() != nil {
					t.Errorf("%s, claimed %d, %v: %d writes, %+v, %v", codec, claim, bit, len(*seen), b.Info(), b.Verify())
				}
			}
		}
	}
}

func TestOnePartitionStaysOnOneLaneInOrder(t *testing.T) {
	s, seen := open(t, 4)
	var as []flow.Append
	for range 20 {
		st := partition.NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0)
		for range 2 {
			as = append(as, flow.Append{Partition: st.ID, State: st, Batch: batch(t, nil)})
		}
	}
	appendAll(t, s, as)
	lanes := map[int]bool{}
	n := 0
	for _, w := range *seen {
		lane := pipeline.LaneOf(admit.LaneKey(w), 4)
		if lanes[lane] {
			t.Errorf("lane %d got two writes of one request", lane)
		}
		lanes[lane] = true
		for i := 0; i < len(w.Appends); i += 2 {
			if w.Appends[i].Partition != w.Appends[i+1].Partition {
				t.Errorf("the batches of a partition were separated")
			}
		}
		n += len(w.Appends)
	}
	if n != len(as) {
		t.Errorf("%d of %d batches passed", n, len(as))
	}
}
