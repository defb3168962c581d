package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/record"
)

// recordsOf returns a batch with one record per key. times are relative to now; the key "" means none.
func recordsOf(t *testing.T, codec record.Codec, keys []string, times ...time.Duration) record.Batch {
	t.Helper()
	m := record.NewBuilder()
	m.Codec = codec
	for i, key := range keys {
		k := []byte(key)
		if key == "" {
			k = nil
		}
		m.Add(time.Now().Add(times[i]).UnixMilli(), k, []byte("v"))
	}
	b, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A batch with a record that breaks a rule of its topic is refused as a whole, with any codec. The
// response lists the offending records, and nothing is stored.
func TestRecordsThatBreakARuleOfTheirTopic(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "compacted", "--partitions", "2", "--config", "cleanup.policy=compact")
	b.must("", "topic", "create", "bounded", "--partitions", "2", "--config", "message.timestamp.before.max.ms=60000")
	b.must("", "topic", "create", "stamped", "--partitions", "2", "--config", "message.timestamp.type=LogAppendTime")
	w := b.dial()
	three := []string{"a", "b", "c"}
	fresh := []time.Duration{0, 0, 0}
	for _, codec := range []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		for _, x := range []struct {
			topic string
			batch record.Batch
			code  *kerr.Error
			named string
		}{
			{"compacted", recordsOf(t, codec, []string{"a", "", "c"}, fresh...), kerr.InvalidRecord, "1"},
			{"compacted", recordsOf(t, codec, []string{"", "b", ""}, fresh...), kerr.InvalidRecord, "0 2"},
			{"bounded", recordsOf(t, codec, three, 0, -2*time.Minute, 0), kerr.InvalidTimestamp, "1"},
			{"bounded", recordsOf(t, codec, three, 0, -2*time.Minute, 2*time.Hour), kerr.InvalidTimestamp, "1 2"},
			{"stamped", func() record.Batch { x := recordsOf(t, codec, three, fresh...); x.SetLogAppendTime(1); return x }(), kerr.InvalidTimestamp, "0 1 2"},
		} {
			got := w.answer(t, x.topic, x.batch, recordsOf(t, codec, three, fresh...))
			var named []string
			for _, r := range got.ErrorRecords {
				named = append(named, fmt.Sprint(r.RelativeOffset))
			}
			if got.ErrorCode != x.code.Code || strings.Join(named, " ") != x.named || got.LogStartOffset != 0 {
				t.Errorf("%s, %s: %v, named %v, log start %d; want %v, %s, 0", x.topic, codec, kerr.ErrorForCode(got.ErrorCode), named, got.LogStartOffset, x.code, x.named)
			}
		}
	}
	for _, topic := range []string{"compacted", "bounded", "stamped"} {
		if got := b.must("", "consume", topic, "--partition", "0", "--from", "start"); strings.TrimSpace(got) != "" {
			t.Errorf("%s: of what was refused there is %q", topic, got)
		}
	}
}

// Searches by time use the timestamps of records, not the maximum in the batch header: some clients
// send -1 there, or the last record's timestamp.
func TestTheTimeInTheHeaderOfABatchIsNotBelieved(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "times", "--partitions", "2")
	w := b.dial()
	for i, codec := range []record.Codec{record.None, record.LZ4} {
		for j, claim := range []int64{-1, time.Now().Add(-48 * time.Hour).UnixMilli(), time.Now().Add(48 * time.Hour).UnixMilli()} {
			x := recordsOf(t, codec, []string{"a", "b"}, time.Duration(j-50)*time.Minute, time.Duration(j-55)*time.Minute)
			sound := recordsOf(t, codec, []string{"a"}, 0)
			x.SetCreateTime(claim)
			if got := w.answer(t, "times", x, sound); got.ErrorCode != 0 || got.BaseOffset != int64(6*i+2*j) {
				t.Fatalf("%s, claimed %d: %v at %d", codec, claim, kerr.ErrorForCode(got.ErrorCode), got.BaseOffset)
			}
		}
	}
	// Only the last batch of each codec has a record after this.
	since := time.Now().Add(-48*time.Minute - 30*time.Second).UnixMilli()
	got := b.must("", "consume", "times", "--partition", "0", "--from", fmt.Sprint("@", since), "--format", "%o\n")
	if first, _, _ := strings.Cut(got, "\n"); first != "4" {
		t.Errorf("from %d on: %q, want offset 4 first", since, got)
	}
}

// max.decompressed.message.bytes limits each record of a compressed batch. It can be changed at
// runtime.
func TestRecordsOfCompressedBatchesAreBounded(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "bounded", "--config", "max.decompressed.message.bytes=1000")
	send := func(codec kgo.CompressionCodec, bytes int) error {
		cl := b.client(kgo.DefaultProduceTopic("bounded"), kgo.ProducerBatchCompression(codec), kgo.RecordRetries(0))
		return cl.ProduceSync(deadline(t), &kgo.Record{Value: make([]byte, bytes)}).FirstErr()
	}
	for codec, name := range map[kgo.CompressionCodec]string{kgo.GzipCompression(): "gzip", kgo.SnappyCompression(): "snappy", kgo.Lz4Compression(): "lz4", kgo.ZstdCompression(): "zstd"} {
		if err := send(codec, 900); err != nil {
			t.Errorf("%s: a small record: %v", name, err)
		}
		if err := send(codec, 5000); !errors.Is(err, kerr.InvalidRecord) {
			t.Errorf("%s: a large record: %v", name, err)
		}
	}
	if err := send(kgo.NoCompression(), 5000); err != nil {
		t.Errorf("a large record of a plain batch: %v", err)
	}
	b.must("", "topic", "alter", "bounded", "--config", "max.decompressed.message.bytes=6000")
	within(t, time.Minute, "the topic takes larger records", func() bool { return send(kgo.ZstdCompression(), 5000) == nil })
}
