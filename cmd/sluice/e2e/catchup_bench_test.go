package e2e

import (
	"bytes"
	"context"
	enc "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/record"
)

const bucket = "sluice-bench"

// startS3 runs versitygw on a temporary directory. It returns a client and the store URL for a
// broker.
func startS3(b testing.TB) (*s3.Client, string) {
	b.Helper()
	gateway := os.Getenv("SLUICE_VERSITYGW")
	if gateway == "" {
		b.Fatal("SLUICE_VERSITYGW does not name the versitygw binary; `make stores` and `make bench-catchup` build it and set it")
	}
	const id, secret = s3ID, s3Secret
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		b.Setenv(k, v)
	}
	addr := freePort(b)
	b.Cleanup(startGateway(b, gateway, addr, b.TempDir(), id, secret))
	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + addr), UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		})})
	if _, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		b.Fatal(err)
	}
	return client, "s3://" + bucket + "?endpoint=http://" + addr + "&use_path_style=true"
}

// The credentials of the S3 server.
const s3ID, s3Secret = "bench", "of-no-value"

// startGateway runs versitygw on a directory with the given credentials and waits until it accepts
// connections.
func startGateway(b testing.TB, gateway, addr, dir, id, secret string) (stop func()) {
	b.Helper()
	cmd := exec.Command(gateway, "--port", addr, "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+id, "ROOT_SECRET_KEY="+secret)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until := time.Now().Add(30 * time.Second)
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return stop
		}
		if time.Now().After(until) {
			stop()
			b.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// s3Broker is a broker that stores its objects in S3.
type s3Broker struct {
	*broker
	b    *testing.B
	text string
}

func newS3Broker(b *testing.B, url string) *s3Broker {
	b.Helper()
	s := &s3Broker{b: b}
	dir, addr, admin := b.TempDir(), freePort(b), freePort(b)
	s.text = fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[object_storage]
url = %q
[admin]
listen = %q
[log]
level = "warn"
`, dir, addr, url, admin)
	s.broker = &broker{t: b, dir: dir, addr: addr, admin: admin}
	s.begin()
	return s
}

// begin starts the process with cold caches.
func (s *s3Broker) begin(flags ...string) {
	s.b.Helper()
	started := role(s.b, "broker", s.text, s.admin, flags...)
	started.dir, started.addr = s.dir, s.addr
	s.broker = started
}

// getLoop reads every object of the bucket, range by range, one request at a time.
func getLoop(b *testing.B, client *s3.Client, rangeBytes int64) (bytesPerSecond float64) {
	b.Helper()
	ctx := context.Background()
	list, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, rangeBytes)
	var total int64
	began := time.Now()
	for _, o := range list.Contents {
		for at := int64(0); at < *o.Size; at += rangeBytes {
			n := min(rangeBytes, *o.Size-at)
			out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: o.Key,
				Range: aws.String(fmt.Sprintf("bytes=%d-%d", at, at+n-1))})
			if err != nil {
				b.Fatal(err)
			}
			_, err = io.ReadFull(out.Body, buf[:n])
			if err = errors.Join(err, out.Body.Close()); err != nil {
				b.Fatal(err)
			}
			total += n
		}
	}
	return float64(total) / time.Since(began).Seconds()
}

// fetchLoop reads a topic from the start with plain Fetch requests, one at a time, into a reused
// buffer. Like getLoop it does little work itself: it parses only batch headers, so that the broker
// is measured and not the client's decoding.
func (s *s3Broker) fetchLoop(topic string, partitions int, ends []int64) (bytesPerSecond float64) {
	s.b.Helper()
	cl := s.client()
	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	meta.Topics = append(meta.Topics, mt)
	described, err := meta.RequestWith(deadline(s.b), cl)
	if err != nil {
		s.b.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.b.Fatal(err)
	}
	defer conn.Close()
	next, total := make([]int64, partitions), 0
	var request, answer []byte
	began := time.Now()
	for !slices.Equal(next, ends) {
		req := fetchOf(described.Topics[0].TopicID, next, ends)
		request = kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench")).AppendRequest(request[:0], req, 0)
		if answer, err = exchange(conn, request, answer); err != nil {
			s.b.Fatal(err)
		}
		resp := kmsg.FetchResponse{Version: req.Version}
		if err := resp.ReadFrom(answer[5:]); err != nil { // after the correlation id and the empty tags
			s.b.Fatal(err)
		}
		for _, p := range resp.Topics[0].Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				s.b.Fatal(err)
			}
			total += len(p.RecordBatches)
			next[p.Partition] = s.walk(p.Partition, p.RecordBatches, next[p.Partition])
		}
	}
	return float64(total) / time.Since(began).Seconds()
}

// walk checks that the batches continue without a gap from offset next, and returns the offset
// after the last one.
func (s *s3Broker) walk(partition int32, batches []byte, next int64) int64 {
	for len(batches) > 0 {
		batch, rest, err := record.Next(batches)
		if err != nil {
			s.b.Fatal(err)
		}
		if batch.BaseOffset() > next {
			s.b.Fatalf("partition %d: offset %d after %d", partition, batch.BaseOffset(), next)
		}
		next, batches = batch.NextOffset(), rest
	}
	return next
}

// exchange sends a request and reads the response into buf, which it replaces if it is too small.
func exchange(conn net.Conn, request, buf []byte) ([]byte, error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := int(enc.BigEndian.Uint32(size[:]))
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := io.ReadFull(conn, buf[:n])
	return buf[:n], err
}

// fetchOf requests up to 4 MiB of each partition that has not been read to its end.
func fetchOf(topic [16]byte, next, ends []int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 13, 500, 1, 50<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.TopicID = topic
	for p := range next {
		if next[p] < ends[p] {
			part := kmsg.NewFetchRequestTopicPartition()
			part.Partition, part.FetchOffset, part.PartitionMaxBytes = int32(p), next[p], 4<<20
			rt.Partitions = append(rt.Partitions, part)
		}
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// consumeLoop reads the topic with franz-go, which decodes every record.
func (s *s3Broker) consumeLoop(topic string, records int) (bytesPerSecond float64) {
	s.b.Helper()
	cl := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(4<<20))
	defer cl.Close()
	ctx, total, n := deadline(s.b), 0, 0
	began := time.Now()
	for n < records {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			s.b.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) { total += len(r.Value); n++ })
	}
	return float64(total) / time.Since(began).Seconds()
}

// BenchmarkCatchUpFromS3 alternates between reading a topic's history from S3 on loopback, through
// a broker with cold caches, and reading the same objects with a loop of range GETs. Fetch requests
// should reach 0.7 times the loop's bytes per second.
func BenchmarkCatchUpFromS3(b *testing.B) {
	const partitions, records, rounds = 4, 1 << 20, 5
	client, url := startS3(b)
	s := newS3Broker(b, url)
	s.createTopic("history", partitions)
	ends := s.load("history", partitions, records)
	s.hurry()
	s.stop()
	s.wipe()
	var fetched, consumed, loop []float64
	for range rounds {
		loop = append(loop, getLoop(b, client, 4<<20))
		s.begin("--accept-lost-wal")
		fetched = append(fetched, s.fetchLoop("history", partitions, ends))
		s.stop()
		s.begin()
		consumed = append(consumed, s.consumeLoop("history", records))
		s.stop()
	}
	for range b.N { // N is ignored: the rounds above are the measurement
	}
	b.ReportMetric(0, "ns/op")
	report(b, "fetch", fetched, loop)
	report(b, "consumer", consumed, loop)
	b.ReportMetric(median(loop)/1e6, "loop-MB/s")
}

// load produces records of 1 KiB in uncompressed batches and returns the end offsets of the
// partitions.
func (s *s3Broker) load(topic string, partitions, records int) []int64 {
	s.b.Helper()
	cl := s.client(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(32<<10))
	defer cl.Close()
	value := bytes.Repeat([]byte("0123456789abcdef"), 64)
	for i := range records {
		cl.Produce(context.Background(), &kgo.Record{Partition: int32(i / 256 % partitions), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				s.b.Error(err)
			}
		})
	}
	if err := cl.Flush(deadline(s.b)); err != nil {
		s.b.Fatal(err)
	}
	listed, err := s.admins().ListEndOffsets(deadline(s.b), topic)
	if err != nil {
		s.b.Fatal(err)
	}
	ends := make([]int64, partitions)
	for p := range ends {
		o, _ := listed.Lookup(topic, int32(p))
		ends[p] = o.Offset
	}
	return ends
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// report reports the median, minimum and maximum of the rounds' ratios.
func report(b *testing.B, name string, got, of []float64) {
	ratios := make([]float64, len(got))
	for i := range got {
		ratios[i] = got[i] / of[i]
	}
	b.Logf("%s: %.0f MB/s, ratios of the loop %.2f", name, median(got)/1e6, ratios)
	b.ReportMetric(median(ratios), name+"/loop")
	b.ReportMetric(slices.Min(ratios), name+"/loop-min")
	b.ReportMetric(slices.Max(ratios), name+"/loop-max")
}
