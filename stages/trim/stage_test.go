package trim

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
)

// batch returns n bytes with the framing of a batch.
func batch(n int) []byte {
	b := make([]byte, n)
	binary.BigEndian.PutUint32(b[8:], uint32(n-12))
	b[16] = 2
	return b
}

func read(src flow.Source, sizes ...int) *flow.Read {
	r := &flow.Read{State: &partition.State{}, MaxBytes: 1 << 20}
	for _, n := range sizes {
		r.Add(batch(n), src, nil)
	}
	return r
}

func TestFinishEnforcesTheLimitOfTheResponse(t *testing.T) {
	s := New(prometheus.NewRegistry())
	f := &flow.Fetch{MaxBytes: 1000, Reads: []*flow.Read{
		read(flow.FromWriteCache, 400, 400, 400), read(flow.FromObject, 300), read(flow.FromObject, 100, 100)}}
	s.finish(f)
	for i, want := range []int{800, 0, 200} {
		if got := f.Reads[i].Bytes; got != want {
			t.Errorf("read %d has %d bytes, want %d", i, got, want)
		}
	}
	if n := testutil.ToFloat64(s.bytes[flow.FromWriteCache]); n != 800 {
		t.Errorf("%v bytes counted from the write cache", n)
	}
}

func TestFirstBatchIsReturnedWhole(t *testing.T) {
	s := New(prometheus.NewRegistry())
	f := &flow.Fetch{MaxBytes: 10, Reads: []*flow.Read{read(flow.FromNone), read(flow.FromObject, 500, 61), read(flow.FromObject, 65)}}
	s.finish(f)
	if f.Reads[1].Bytes != 500 || f.Reads[2].Bytes != 0 {
		t.Errorf("%d and %d bytes", f.Reads[1].Bytes, f.Reads[2].Bytes)
	}
}

// A buffer may hold several batches: it is trimmed at a batch boundary.
func TestBuffersAreTrimmedAtBatchBoundaries(t *testing.T) {
	for _, test := range []struct{ max, first, second int }{
		{1, 100, 0}, {100, 100, 0}, {299, 100, 61}, {300, 300, 0}, {399, 300, 61}, {600, 600, 0}, {661, 600, 61}, {5000, 600, 661}} {
		r := &flow.Read{State: &partition.State{}}
		r.Add(slices.Concat(batch(100), batch(200), batch(300)), flow.FromWAL, nil)
		second := &flow.Read{State: &partition.State{}}
		second.Add(slices.Concat(batch(61), batch(600)), flow.FromWAL, nil)
		f := &flow.Fetch{MaxBytes: test.max, Reads: []*flow.Read{r, second}}
		New(prometheus.NewRegistry()).finish(f)
		n := 0
		for _, seg := range slices.Concat(r.Buffers, second.Buffers) {
			n += len(seg)
		}
		if r.Bytes != test.first || second.Bytes != test.second || n != r.Bytes+second.Bytes {
			t.Errorf("of %d bytes: %d and %d, want %d and %d; buffers of %d", test.max, r.Bytes, second.Bytes, test.first, test.second, n)
		}
	}
}
