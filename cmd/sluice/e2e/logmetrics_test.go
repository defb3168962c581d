package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics, partitions and groups have metrics of what was written and read and of how far
// groups are behind, in records and in seconds; a restart does not make old records new.
func TestMetricsOfTopicsPartitionsAndGroups(t *testing.T) {
	b := newBroker(t)
	b.createTopic("orders", 2)
	cl := b.client(kgo.DefaultProduceTopic("orders"), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	const n = 40
	for i := range n {
		if err := cl.ProduceSync(deadline(t), &kgo.Record{Partition: int32(i % 2), Value: make([]byte, 1000)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	consume(t, b.client(kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), n)
	var at kadm.Offsets
	at.AddOffset("orders", 0, 5, -1)
	at.AddOffset("orders", 1, n/2, -1)
	if err := b.admins().CommitAllOffsets(deadline(t), "billing", at); err != nil {
		t.Fatal(err)
	}
	lag := func(partition int) (records, seconds float64) {
		labels := fmt.Sprintf(`{group="billing",partition="%d",topic="orders"}`, partition)
		return b.metric("sluice_group_lag_records", labels), b.metric("sluice_group_lag_seconds", labels)
	}
	check := func() {
		t.Helper()
		for partition := range 2 {
			labels := fmt.Sprintf(`{partition="%d",topic="orders"}`, partition)
			if start, end := b.metric("sluice_partition_log_start_offset", labels), b.metric("sluice_partition_log_end_offset", labels); start != 0 || end != n/2 {
				t.Errorf("partition %d is from %v to %v", partition, start, end)
			}
		}
		if records, seconds := lag(1); records != 0 || seconds != 0 {
			t.Errorf("at the end it is %v records and %v seconds behind", records, seconds)
		}
	}
	check()
	in, bytes, out := b.metric("sluice_topic_records_in_total", `"orders"`), b.metric("sluice_topic_bytes_in_total", `"orders"`), b.metric("sluice_topic_bytes_out_total", `"orders"`)
	if in != n || bytes < n*1000 || bytes > n*1200 || out < bytes || out > 2*bytes {
		t.Errorf("%v records of %v bytes in, %v bytes out", in, bytes, out)
	}
	within(t, 30*time.Second, "the lag grows with time", func() bool {
		records, seconds := lag(0)
		return records == n/2-5 && seconds >= 2
	})
	if _, seconds := lag(0); seconds > time.Since(began).Seconds()+10 {
		t.Errorf("records of %s ago are %v seconds old", time.Since(began), seconds)
	}
	b.stop()
	b.start()
	check()
	if in, bytes := b.metric("sluice_topic_records_in_total", `"orders"`), b.metric("sluice_topic_bytes_in_total", `"orders"`); in != 0 || bytes != 0 {
		t.Errorf("what was there before the start counts as written since: %v records, %v bytes", in, bytes)
	}
	if records, seconds := lag(0); records != n/2-5 || seconds < time.Since(began).Seconds()-1 || seconds > time.Since(began).Seconds()+10 {
		t.Errorf("after the restart it is %v records and %v seconds behind, and they came %s ago", records, seconds, time.Since(began))
	}
}

// The number of series is bounded by a setting; what is beyond is summed up.
func TestMetricsAreBounded(t *testing.T) {
	admin := aBroker(t, "max_metric_series = 0\n")
	status, text := ask(t, http.MethodGet, admin, "/metrics", "")
	if status != http.StatusOK || !strings.Contains(text, "\n"+`sluice_topic_partitions{topic="*"} `) || strings.Contains(text, "sluice_partition_log_end_offset{") {
		t.Errorf("%d: %s", status, text)
	}
}
