package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// BenchmarkPutsPerIngest produces 1.25 GiB at 64 MiB/s, spread evenly over 1,000 partitions, and
// counts PUT requests to the object store. The goal is 100 MiB per PUT. Compaction is paused, so that
// only requests for ingest are counted.
func BenchmarkPutsPerIngest(b *testing.B) {
	b.Run("s3", func(b *testing.B) {
		client, url := startS3(b)
		putsPerIngest(b, newS3Broker(b, url), func() int {
			list, err := client.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
			if err != nil {
				b.Fatal(err)
			}
			return len(list.Contents)
		})
	})
	b.Run("file", func(b *testing.B) {
		dir := b.TempDir()
		putsPerIngest(b, newS3Broker(b, "file://"+dir), func() (n int) {
			err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
				if err == nil && e.Type().IsRegular() && filepath.Ext(e.Name()) != ".attrs" {
					n++
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			return n
		})
	})
}

func putsPerIngest(b *testing.B, s *s3Broker, stored func() int) {
	const topics, partitions, bytes, batchBytes, bytesPerSecond = 10, 100, 1280 << 20, 10 << 10, 64 << 20
	s.must("", "config", "set", "limits", "compact/compact", "paused=1", "--admin", s.admin)
	batch := randomBatch(b, batchBytes)
	wires := make([]*wire, 2)
	for i := range wires {
		var frames [][]byte
		for t := i; t < topics; t += len(wires) {
			name := fmt.Sprintf("puts-%d", t)
			s.createTopic(name, partitions)
			frames = append(frames, produceFrame(name, 0, partitions, batch))
		}
		wires[i] = s.dial(frames...)
	}
	request := partitions * len(batch)
	before := s.requests() // a broker probes its store at start
	for b.Loop() {
		paced(b, wires, bytes/request, float64(bytesPerSecond)/float64(request))
	}
	s.uploaded(float64(b.N * (bytes / request) * request))

	mib, objects, puts := s.metric("sluice_upload_bytes_total")/(1<<20), s.metric("sluice_upload_objects_total"), s.requests()-before
	if n := stored(); float64(n) != objects {
		b.Errorf("%d objects are in the store, %.0f were written", n, objects)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(mib/objects, "ingest-MiB/object")
	b.ReportMetric(mib/puts, "ingest-MiB/PUT-request")
	b.Logf("%.0f MiB of %d partitions: %.0f objects, %.0f requests of PUTs; %.0f cuts, %.0f of them by size", mib, topics*partitions,
		objects, puts, s.metric("sluice_uploads_total"), s.metric("sluice_uploads_total", `reason="size"`))
}

// requests returns the number of PUT requests so far. A multipart upload counts as its parts and two
// more.
func (s *s3Broker) requests() float64 {
	return s.metric("sluice_objectstore_requests_total", `op="put"`)
}

// uploaded waits until all ingested bytes are uploaded or pending upload.
func (b *broker) uploaded(ingested float64) {
	b.t.Helper()
	until := time.Now().Add(60 * time.Second)
	for b.metric("sluice_upload_bytes_total")+b.metric("sluice_upload_pending_bytes") < ingested {
		if time.Now().After(until) {
			b.t.Fatalf("%.0f bytes uploaded and %.0f to come, of %.0f", b.metric("sluice_upload_bytes_total"),
				b.metric("sluice_upload_pending_bytes"), ingested)
		}
		<-time.After(50 * time.Millisecond)
	}
}
