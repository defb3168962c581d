package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluicemq/sluice/internal/record"
)

// store writes a batch to partition 0 of a broker that does not validate it.
func store(t *testing.T, addr, topic string, b record.Batch) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(kversion.V3_0_0()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 10_000
	to, part := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	part.Records = b
	to.Topic, to.Partitions = topic, append(to.Partitions, part)
	req.Topics = append(req.Topics, to)
	resp, err := cl.Broker(0).Request(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// A batch that cannot be decompressed, or decompresses to more than the limit, ends `sluice
// consume` after the records before it, with a message that gives the position.
func TestConsumeSaysWhereItCannotRead(t *testing.T) {
	build := func(codec record.Codec, values ...string) record.Batch {
		m := record.NewBuilder()
		m.Codec = codec
		for _, v := range values {
			m.Add(1_700_000_000_000, nil, []byte(v))
		}
		b, err := m.Build()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	notGzip := bytes.Clone(build(record.None, "x", "y"))
	notGzip[22] = byte(record.Gzip)
	binary.BigEndian.PutUint32(notGzip[17:], crc32.Checksum(notGzip[21:], crc32.MakeTable(crc32.Castagnoli)))
	for name, bad := range map[string]record.Batch{
		"not gzip":  notGzip,
		"too large": build(record.Zstd, strings.Repeat("x", record.MaxUnpacked)),
	} {
		t.Run(name, func(t *testing.T) {
			fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
			if err != nil {
				t.Fatal(err)
			}
			defer fake.Close()
			addr := fake.ListenAddrs()[0]
			store(t, addr, "t", build(record.None, "one", "two"))
			store(t, addr, "t", bad)
			env := map[string]string{"SLUICE_DATA_DIR": t.TempDir()}
			out, errs, code := runCLI(env, "consume", "t", "--broker", addr, "--transport", "tcp", "--format", "%v\n", "--timeout", "30s")
			if code == 0 || !strings.Contains(errs, "partition 0, at offset 2: ") {
				t.Errorf("exit code %d: %s", code, errs)
			}
			if out != "one\ntwo\n" {
				t.Errorf("in front of it are %q", out)
			}
		})
	}
}

// `sluice consume` waits for a transient error to pass, and fails if it lasts.
func TestConsumeIsPatient(t *testing.T) {
	for _, test := range []struct {
		name   string
		errors int32 // failing responses
		fails  bool
	}{{"passes", 15, false}, {"lasts", 1 << 30, true}} {
		t.Run(test.name, func(t *testing.T) {
			fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
			if err != nil {
				t.Fatal(err)
			}
			defer fake.Close()
			addr := fake.ListenAddrs()[0]
			for _, v := range []string{"one", "two"} {
				m := record.NewBuilder()
				m.Add(1_700_000_000_000, nil, []byte(v))
				b, err := m.Build()
				if err != nil {
					t.Fatal(err)
				}
				store(t, addr, "t", b)
			}
			var left atomic.Int32
			left.Store(test.errors)
			fake.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
				fake.KeepControl()
				req := r.(*kmsg.FetchRequest)
				if len(req.Topics) == 0 || req.Topics[0].Partitions[0].FetchOffset > 1 || left.Add(-1) < 0 {
					return nil, nil, false
				}
				time.Sleep(100 * time.Millisecond) // as a broker does
				resp := req.ResponseKind().(*kmsg.FetchResponse)
				part := kmsg.NewFetchResponseTopicPartition()
				part.ErrorCode, part.HighWatermark = kerr.KafkaStorageError.Code, -1
				topic := kmsg.NewFetchResponseTopic()
				topic.Topic, topic.TopicID, topic.Partitions = req.Topics[0].Topic, req.Topics[0].TopicID, append(topic.Partitions, part)
				resp.Topics = append(resp.Topics, topic)
				return resp, nil, true
			})
			timeout := map[bool]string{false: "30s", true: "2s"}[test.fails]
			out, errs, code := runCLI(map[string]string{"SLUICE_DATA_DIR": t.TempDir()}, "consume", "t", "--broker", addr, "--transport", "tcp", "--timeout", timeout)
			want := map[bool]string{false: "one\ntwo\n"}[test.fails]
			if (code != 0) != test.fails || out != want {
				t.Errorf("exit code %d, %q: %s", code, out, errs)
			}
			if !strings.Contains(errs, "topic t: partition 0, at offset 0: the broker cannot read or write its records (KAFKA_STORAGE_ERROR)") {
				t.Errorf("it does not say what it waits for: %s", errs)
			}
		})
	}
}
