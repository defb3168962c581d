package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluicemq/sluice/internal/record"
)

// store writes a batch to partition 0 of a broker that does not look inside.
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

// What cannot be unpacked, or unpacks to more than a batch may, ends `sluice consume`
// with a sentence that says where, after the records in front of it.
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
