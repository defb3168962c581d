package e2e

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// epochEnd requests the end offset of a leader epoch of partition 0 (OffsetForLeaderEpoch). It
// returns the epoch and the end offset of the response.
func (b *broker) epochEnd(topic string, epoch int32) (int32, int64) {
	b.t.Helper()
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.CurrentLeaderEpoch, p.LeaderEpoch = -1, epoch
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, p)
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID, req.Topics = -1, append(req.Topics, rt)
	resp, err := req.RequestWith(deadline(b.t), b.client())
	if err != nil {
		b.t.Fatal(err)
	}
	got := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		b.t.Fatal(err)
	}
	return got.LeaderEpoch, got.EndOffset
}

// Each broker start begins a new leader epoch. Epochs whose records were all deleted are answered as
// in Kafka: they end where the oldest known epoch begins.
func TestEpochsGoWithTheirRecords(t *testing.T) {
	b := newBroker(t)
	b.createTopic("t", 1)
	const starts = 4
	for i := range starts {
		if i > 0 {
			b.kill()
			b.start()
		}
		b.must(fmt.Sprintf("a%d\nb%d\n", i, i), "produce", "t")
	}
	last, end := b.epochEnd("t", 1<<30)
	if last != -1 || end != -1 {
		t.Errorf("an epoch that is not known yet ends as %d at %d", last, end)
	}
	type answer struct {
		epoch int32
		end   int64
	}
	var before []answer
	var epochs []int32 // of records, one for each start
	for e := range int32(10) {
		epoch, end := b.epochEnd("t", e)
		if epoch == -1 {
			break
		}
		before = append(before, answer{epoch, end})
		if epoch == e && end == int64(2*len(epochs)+2) {
			epochs = append(epochs, e)
		}
	}
	if len(epochs) != starts {
		t.Fatalf("epochs %v", before)
	}
	to := kadm.Offsets{}
	to.Add(kadm.Offset{Topic: "t", Partition: 0, At: 5}) // in the third epoch with records
	if _, err := b.admins().DeleteRecords(deadline(t), to); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for e, was := range before {
			epoch, end := b.epochEnd("t", int32(e))
			want := was
			if int32(e) < epochs[2] { // all its records are gone
				want = answer{int32(e), 5}
			}
			if (answer{epoch, end}) != want {
				t.Errorf("%s: epoch %d ends as %d at %d, want %+v", when, e, epoch, end, want)
			}
		}
	}
	check("after the deletion")
	b.hurry()
	check("when all is uploaded")
	b.stop()
	b.start()
	check("after a restart")
	if out := b.must("", "consume", "t", "--from", "start"); out != "b2\na3\nb3\n" {
		t.Errorf("read %q", out)
	}
}
