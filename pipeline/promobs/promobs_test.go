package promobs

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/pipeline"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// The golden file is the scrape of a graph that has run.
func TestScrape(t *testing.T) {
	const golden = "testdata/scrape.prom"
	reg := prometheus.NewPedanticRegistry()
	synctest.Test(t, func(t *testing.T) {
		g := demo()
		reg.MustRegister(New(g))
		if err := g.Run(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
	})
	file := filepath.Join(t.TempDir(), "scrape.prom")
	if *update {
		file = golden
	}
	if err := prometheus.WriteToTextfile(file, reg); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the scrape differs from %s; run with -update and check the diff:\n%s", golden, got)
	}
}

// demo sends five parcels of ten bytes over two lanes, one second of work each,
// to a sink that acknowledges all but one.
func demo() *pipeline.Graph {
	g := pipeline.New("demo")
	src := pipeline.SourceFunc[int](func(ctx context.Context, out pipeline.Emit[int]) error {
		for i := range 5 {
			p := pipeline.Parcel[int]{Body: i, Size: 10, Receipt: pipeline.NewReceipt(func(error) {})}
			if err := out(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	work := pipeline.Each(func(_ context.Context, v int) (int, error) { time.Sleep(time.Second); return v, nil })
	p := pipeline.Via(pipeline.From(g, "src", src), "work", work,
		pipeline.Lanes(2, func(v int) uint64 { return uint64(v) }), pipeline.Depth(4))
	pipeline.Into(p, "sink", pipeline.SinkFunc[int](func(ctx context.Context, in *pipeline.In[int]) error {
		for p := range in.All(ctx) {
			if p.Body == 3 {
				p.Settle(errors.New("refused"))
				continue
			}
			p.Settle(nil)
		}
		return nil
	}))
	return g
}
