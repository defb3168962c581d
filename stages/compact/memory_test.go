package compact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/record"
)

// watch runs the garbage collector continuously and returns the most live heap
// bytes that it saw.
func watch() (stop func() uint64) {
	over, most := make(chan struct{}), make(chan uint64)
	go func() {
		sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
		top := uint64(0)
		for {
			runtime.GC()
			runtimemetrics.Read(sample)
			top = max(top, sample[0].Value.Uint64())
			select {
			case <-over:
				most <- top
				return
			default:
			}
		}
	}()
	return func() uint64 { close(over); return <-most }
}

// files is an object store on disk, so that objects are not on the heap.
type files struct{ dir string }

func (f files) path(key string) string {
	return filepath.Join(f.dir, strings.ReplaceAll(key, "/", "_"))
}

func (f files) Put(_ context.Context, key string, r io.Reader) error {
	out, err := os.Create(f.path(key))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Close())
}

func (f files) PutSized(ctx context.Context, key string, _ int64, open func() io.ReadCloser) error {
	r := open()
	defer r.Close()
	return f.Put(ctx, key, r)
}

func (f files) Size(_ context.Context, key string) (int64, error) {
	info, err := os.Stat(f.path(key))
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f files) Object(key string) object.RangeReader { return file{f.path(key)} }

type file struct{ path string }

func (f file) ReadRange(_ context.Context, off, n int64) ([]byte, error) {
	in, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	out := make([]byte, n)
	_, err = in.ReadAt(out, off)
	return out, err
}

// take moves all objects to disk.
func (f files) take(t *testing.T, b *bucket) {
	t.Helper()
	for key, data := range b.objects {
		if err := f.Put(t.Context(), key, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	b.objects = nil
}

// With more keys than fit into the index, batches that shrink a lot and
// decompress to the limit, and one that exceeds it, the live heap stays within
// the budget.
func TestMemoryIsBounded(t *testing.T) {
	const budget = 32 << 20
	for _, codec := range []record.Codec{record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.MemoryBytes = budget
			r := newRig(t, cfg)
			r.topic(1, compacted)
			fill(r, codec)
			disk := files{t.TempDir()}
			disk.take(t, r.store)
			r.c.Store = disk
			runtime.GC() // twice: pools keep their content for one cycle
			runtime.GC()
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			stop := watch()
			if !r.clean(0) {
				t.Fatal("nothing to clean")
			}
			held := int64(stop()) - int64(before.HeapAlloc)
			if held > budget*5/4 { // pools keep the most recently used buffers
				t.Errorf("%.1f MiB were live with a budget of %d", float64(held)/(1<<20), budget>>20)
			}
			passes, opaque := testutil.ToFloat64(r.c.metrics.passes), testutil.ToFloat64(r.c.metrics.opaque)
			if passes < 2 || opaque < 1 || testutil.ToFloat64(r.c.metrics.removed) < 2000 {
				t.Errorf("%v passes, %v opaque batches; the test does not fill the budget", passes, opaque)
			}
			t.Logf("at most %.1f MiB were live in %v passes", float64(held)/(1<<20), passes)
		})
	}
}

// fill uploads some 320,000 keys, large batches, and keys again.
func fill(r *rig, codec record.Codec) {
	offset, key := int64(0), 0
	put := func(n, size int) {
		records := make([]kv, n)
		for i := range records {
			// One in eight is a tombstone, so that its batch is written twice.
			sum := sha256.Sum256(fmt.Append(nil, key))
			if records[i] = (kv{k: hex.EncodeToString(sum[:8])}); key%8 != 0 {
				records[i].v = strings.Repeat("v", size)
			}
			key++
		}
		r.upload(map[int32][]record.Batch{0: {batch(r.t, offset, 1, codec, records...)}})
		offset += int64(n)
	}
	for range 40 {
		put(8000, 1)
	}
	for range 4 {
		put(56, 64<<10) // 3.1 MiB, the limit is 3.2
	}
	put(60, 512<<10) // 26 MiB
	key = 0
	put(3000, 1)
}
