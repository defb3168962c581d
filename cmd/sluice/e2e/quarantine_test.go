package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A batch in the WAL is damaged under a running broker. Its partition is uploaded up to the batch and
// takes no more records, with one ERROR that names the offset. The other partition is not affected.
// Once the batch is repaired, the partition recovers.
func TestOnePartitionCannotBeUploaded(t *testing.T) {
	n := newWALNode(t)
	n.stop()
	n.mustServe() // restarted, so that no record is in memory
	mend := n.harm(n.sent[0][30][:30])
	cl := n.client(kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	produce := func(p int32, value string) error {
		err := cl.ProduceSync(deadline(t), &kgo.Record{Partition: p, Value: []byte(value)}).FirstErr()
		if err == nil {
			n.sent[p] = append(n.sent[p], value)
		}
		return err
	}
	for range 240 { // more than one upload, all to the other partition
		if err := produce(1, strings.Repeat("y", 50_000)); err != nil {
			t.Fatalf("the other partition: %v", err)
		}
	}
	within(t, 30*time.Second, "the partition is in quarantine", func() bool { return n.metric("sluice_upload_partitions_quarantined") == 1 })
	brief := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(2*time.Second))
	defer brief.Close()
	if err := brief.ProduceSync(deadline(t), &kgo.Record{Topic: "t", Value: []byte("refused")}).FirstErr(); err == nil {
		t.Error("it takes records")
	}
	if err := produce(1, "more"); err != nil {
		t.Errorf("the other partition: %v", err)
	}
	said := 0
	for line := range strings.Lines(n.log.String()) {
		if strings.Contains(line, "level=ERROR") && strings.Contains(line, "topic=t partition=0 offset=30") {
			said++
		}
	}
	if said != 1 {
		t.Errorf("%d ERRORs name topic, partition and offset", said)
	}
	if _, errs, code := n.sluice("", "cluster", "status", "--admin", n.admin); code != 1 || !strings.Contains(errs, "an ERROR in the broker's log says since when") || strings.Contains(errs, "log at start") {
		t.Errorf("status: exit %d: %s", code, errs)
	}
	if up := n.metric("sluice_upload_bytes_total"); up < 9e6 {
		t.Errorf("%g bytes were uploaded; one partition had 9 MB", up)
	}
	mend()
	within(t, 2*time.Minute, "the partition is out of quarantine", func() bool { return n.metric("sluice_upload_partitions_quarantined") == 0 })
	if err := produce(0, "more"); err != nil {
		t.Error(err)
	}
	n.check()
	n.kill()
	n.mustServe()
	if got := readAll(t, n.broker, "t"); !slices.Equal(got[0], n.sent[0]) || !slices.Equal(got[1], n.sent[1]) {
		t.Errorf("after a restart %d and %d records, want %d and %d", len(got[0]), len(got[1]), len(n.sent[0]), len(n.sent[1]))
	}
}
