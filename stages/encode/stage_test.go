package encode

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluicemq/sluice/internal/flow"
)

func read(src flow.Source, sizes ...int) *flow.Read {
	r := &flow.Read{MaxBytes: 1 << 20}
	for _, n := range sizes {
		r.Add(make([]byte, n), src, nil)
	}
	return r
}

func TestFinishKeepsTheLimitOfTheWholeAnswer(t *testing.T) {
	s := New(prometheus.NewRegistry())
	f := &flow.Fetch{MaxBytes: 100, Reads: []*flow.Read{
		read(flow.FromWriteCache, 40, 40, 40), read(flow.FromObject, 30), read(flow.FromObject, 10, 10)}}
	s.finish(f)
	for i, want := range []int{80, 0, 20} {
		if got := f.Reads[i].Bytes; got != want {
			t.Errorf("read %d has %d bytes, want %d", i, got, want)
		}
	}
	if n := testutil.ToFloat64(s.bytes[flow.FromWriteCache]); n != 80 {
		t.Errorf("%v bytes counted from the write cache", n)
	}
}

func TestFirstBatchIsReturnedWhole(t *testing.T) {
	s := New(prometheus.NewRegistry())
	f := &flow.Fetch{MaxBytes: 10, Reads: []*flow.Read{read(flow.FromNone), read(flow.FromObject, 500, 1), read(flow.FromObject, 5)}}
	s.finish(f)
	if f.Reads[1].Bytes != 500 || f.Reads[2].Bytes != 0 {
		t.Errorf("%d and %d bytes", f.Reads[1].Bytes, f.Reads[2].Bytes)
	}
}
