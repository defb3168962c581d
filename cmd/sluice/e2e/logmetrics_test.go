package e2e

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Metrics show what was written to and read from topics and partitions, and the lag of groups in
// records and seconds. After a restart, old records do not count as newly written and keep their age.
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

// A setting limits the number of series. What exceeds it is summed up.
func TestMetricsAreBounded(t *testing.T) {
	admin := aBroker(t, "max_metric_series = 0\n")
	status, text := ask(t, http.MethodGet, admin, "/metrics", "")
	if status != http.StatusOK || !strings.Contains(text, "\n"+`sluice_topic_partitions{topic="*"} `) || strings.Contains(text, "sluice_partition_log_end_offset{") {
		t.Errorf("%d: %s", status, text)
	}
}

// Scrapers that accept native histograms get fine buckets, each about a tenth wider than the one
// before. Classic buckets at most double.
func TestMetricsHaveFineHistograms(t *testing.T) {
	b := newBroker(t)
	b.createTopic("t", 1)
	cl := b.client(kgo.DefaultProduceTopic("t"))
	for range 20 {
		if err := cl.ProduceSync(deadline(t), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, "http://"+b.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	families := make(map[string]*dto.MetricFamily)
	for d := expfmt.NewDecoder(resp.Body, expfmt.ResponseFormat(resp.Header)); ; {
		var f dto.MetricFamily
		if err := d.Decode(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = &f
	}
	histograms := 0
	for name, f := range families {
		if f.GetType() != dto.MetricType_HISTOGRAM || !strings.HasPrefix(name, "sluice_") {
			continue
		}
		for _, m := range f.Metric {
			histograms++
			all := m.Histogram.Bucket
			for i := 1; i < len(all) && !math.IsInf(all[i].GetUpperBound(), 1); i++ {
				if r := all[i].GetUpperBound() / all[i-1].GetUpperBound(); r > 2.001 {
					t.Errorf("%s: %v follows %v", name, all[i].GetUpperBound(), all[i-1].GetUpperBound())
				}
			}
		}
	}
	if histograms < 40 {
		t.Errorf("%d histograms: the test looks in the wrong places", histograms)
	}
	for _, name := range []string{"sluice_request_seconds", "sluice_wal_write_seconds", "sluice_metadata_proposal_seconds"} {
		native := 0
		for _, m := range families[name].GetMetric() {
			if m.Histogram.GetSampleCount() > 0 && m.Histogram.GetSchema() >= 3 && len(m.Histogram.PositiveSpan) > 0 {
				native++
			}
		}
		if native == 0 {
			t.Errorf("%s has no native buckets", name)
		}
	}
}
