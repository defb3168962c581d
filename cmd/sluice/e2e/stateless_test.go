package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/record"
)

// wipe deletes the WAL of a stopped broker. Caches are only in memory.
func (b *broker) wipe() {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.dir, "wal")); err != nil {
		b.t.Fatal(err)
	}
}

// rawProducer is an idempotent producer whose sequence numbers the test chooses.
type rawProducer struct {
	b     *broker
	cl    *kgo.Client
	topic string
	id    int64
	epoch int16
	at    int64 // timestamp of all records, ms
}

func (b *broker) rawProducer(topic string) *rawProducer {
	b.t.Helper()
	p := &rawProducer{b: b, cl: b.client(), topic: topic, at: time.Now().UnixMilli()}
	resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(deadline(b.t), p.cl)
	if err = errors.Join(err, kerr.ErrorForCode(resp.ErrorCode)); err != nil {
		b.t.Fatal(err)
	}
	p.id, p.epoch = resp.ProducerID, resp.ProducerEpoch
	return p
}

// send produces n records from a sequence number on and returns the offset of the first.
func (p *rawProducer) send(sequence int32, n int) (int64, error) {
	p.b.t.Helper()
	builder := record.NewBuilder()
	builder.ProducerID, builder.ProducerEpoch, builder.BaseSequence = p.id, p.epoch, sequence
	for i := range n {
		builder.Add(p.at, nil, fmt.Appendf(nil, "raw %d", int(sequence)+i))
	}
	b, err := builder.Build()
	if err != nil {
		p.b.t.Fatal(err)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = b
	top := kmsg.NewProduceRequestTopic()
	top.Topic = p.topic
	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &p.topic
	meta.Topics = append(meta.Topics, mt)
	described, err := meta.RequestWith(deadline(p.b.t), p.cl)
	if err != nil {
		p.b.t.Fatal(err)
	}
	top.TopicID = described.Topics[0].TopicID
	top.Partitions = append(top.Partitions, part)
	req.Topics = append(req.Topics, top)
	resp, err := req.RequestWith(deadline(p.b.t), p.cl)
	if err != nil {
		p.b.t.Fatal(err)
	}
	out := resp.Topics[0].Partitions[0]
	return out.BaseOffset, kerr.ErrorForCode(out.ErrorCode)
}

// fillNumbers produces the numbers [from, to) in order and checks that each gets itself as its offset.
func (b *broker) fillNumbers(topic string, from, to int) {
	b.t.Helper()
	cl := b.client(kgo.DefaultProduceTopic(topic))
	defer cl.Close()
	for i := from; i < to; i++ {
		cl.Produce(deadline(b.t), kgo.StringRecord(fmt.Sprint(i)), func(r *kgo.Record, err error) {
			if err != nil || r.Offset != int64(i) {
				b.t.Errorf("record %d went to offset %d: %v", i, r.Offset, err)
			}
		})
	}
	if err := cl.Flush(deadline(b.t)); err != nil {
		b.t.Fatal(err)
	}
}

// checkNumbers consumes the records [from, to) and checks that their values are their offsets.
func (b *broker) checkNumbers(cl *kgo.Client, from, to int) []*kgo.Record {
	b.t.Helper()
	got := consume(b.t, cl, to-from)
	for i, r := range got {
		if r.Offset != int64(from+i) || string(r.Value) != fmt.Sprint(from+i) {
			b.t.Fatalf("offset %d has %s, want record %d", r.Offset, r.Value, from+i)
		}
	}
	return got
}

// A broker left with only its metadata and the object store serves all history. Offsets, idempotent
// producers and groups continue. The test repeats this, so that records written after one round are
// history in the next.
func TestStateless(t *testing.T) {
	b := newBroker(t)
	b.createTopic("numbers", 1)
	b.createTopic("raw", 1)
	p := b.rawProducer("raw")
	const n = 1000
	sequence, next := int32(0), int64(0)
	for round := range 3 {
		b.fillNumbers("numbers", round*n, (round+1)*n)
		g := b.client(kgo.ConsumerGroup("audit"), kgo.ConsumeTopics("numbers"), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		got := b.checkNumbers(g, round*n, (round+1)*n) // the group resumes
		if err := g.CommitRecords(deadline(t), got...); err != nil {
			t.Fatal(err)
		}
		g.Close()
		if offset, err := p.send(sequence, 3); err != nil || offset != next {
			t.Fatalf("round %d: offset %d, %v; want %d", round, offset, err, next)
		}
		b.hurry()
		b.stop()
		b.wipe()
		b.startWithout()

		b.checkNumbers(b.client(kgo.ConsumeTopics("numbers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 0, (round+1)*n)
		if b.metric("sluice_reads_total", `source="object"`) == 0 {
			t.Error("no read was served from an object")
		}
		p.cl = b.client()
		if offset, err := p.send(sequence, 3); err != nil && !errors.Is(err, kerr.DuplicateSequenceNumber) || err == nil && offset != next {
			t.Errorf("round %d: a retry went to offset %d, %v; the original is at %d", round, offset, err, next)
		}
		sequence, next = sequence+3, next+3
		if _, err := p.send(sequence+7, 1); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
			t.Errorf("round %d: a gap in the sequence: %v", round, err)
		}
		if !strings.Contains(b.log.String(), "the WAL directory is empty although this broker ran before") || strings.Contains(b.log.String(), "records were lost") {
			t.Errorf("round %d: the log does not say what happened, or more:\n%s", round, b.log)
		}
	}
	ends, err := b.admins().ListEndOffsets(deadline(t), "raw")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("raw", 0); end.Offset != next {
		t.Errorf("the log ends at %d, want %d: a retry was written", end.Offset, next)
	}
}

// Records that were not uploaded are lost with the WAL. The broker logs the loss and names groups whose
// committed offsets are beyond the new end; their consumers get an error.
func TestLostWALIsTold(t *testing.T) {
	b := newBroker(t)
	b.createTopic("numbers", 1)
	b.fillNumbers("numbers", 0, 100)
	b.hurry()
	b.stop() // restart, so that nothing more is uploaded for ten minutes
	b.start()
	b.fillNumbers("numbers", 100, 150)
	g := b.client(kgo.ConsumerGroup("audit"), kgo.ConsumeTopics("numbers"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := g.CommitRecords(deadline(t), b.checkNumbers(g, 0, 150)...); err != nil {
		t.Fatal(err)
	}
	g.Close()
	b.kill()
	b.wipe()
	b.startWithout()
	for _, want := range []string{"the WAL directory is empty although this broker ran before", "records were lost with the WAL",
		"group=audit", "topic=numbers", "committed=150", "end=100"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, b.log)
		}
	}
	b.checkNumbers(b.client(kgo.ConsumeTopics("numbers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 0, 100)
	// The group's offset is out of range; no records are served for it.
	g = b.client(kgo.ConsumerGroup("audit"), kgo.ConsumeTopics("numbers"), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	for told := false; !told; {
		fs := g.PollFetches(ctx)
		if fs.NumRecords() > 0 {
			t.Fatalf("%d records were read at an offset that is gone", fs.NumRecords())
		}
		fs.EachError(func(_ string, _ int32, err error) {
			var lost *kgo.ErrDataLoss
			if told = errors.Is(err, kerr.OffsetOutOfRange) || errors.As(err, &lost); !told {
				t.Fatal(err)
			}
		})
	}
	b.fillNumbers("numbers", 100, 120) // offsets continue at the end of the objects
}
