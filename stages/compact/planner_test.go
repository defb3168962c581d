package compact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
)

func sizes(bytes ...int64) (refs []meta.ObjectRef) {
	for i, n := range bytes {
		refs = append(refs, meta.ObjectRef{Base: int64(i), End: int64(i + 1), Bytes: n})
	}
	return refs
}

func TestMergeable(t *testing.T) {
	for name, c := range map[string]struct {
		objects  []meta.ObjectRef
		from, to int64 // of the objects to merge; equal: none
	}{
		"none":                    {nil, 0, 0},
		"too few":                 {sizes(1, 1, 1), 0, 0},
		"just enough":             {sizes(1, 1, 1, 1), 0, 4},
		"all of them":             {sizes(1, 1, 1, 1, 1, 1), 0, 6},
		"after a large one":       {sizes(100, 1, 1, 1, 1), 1, 5},
		"not with a merged one":   {sizes(4, 1, 1, 1), 0, 0},
		"merged ones together":    {sizes(4, 4, 4, 4), 0, 4},
		"no more than the target": {sizes(30, 30, 30, 30, 30), 0, 0},
		"up to the target":        {sizes(25, 25, 25, 25, 25), 0, 4},
		"between large ones":      {sizes(90, 2, 1, 2, 1, 2, 90), 1, 6},
	} {
		got := mergeable(c.objects, 4, 100)
		switch {
		case len(got) == 0 && c.from != c.to:
			t.Errorf("%s: nothing", name)
		case len(got) > 0 && (got[0].Base != c.from || got[len(got)-1].End != c.to):
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// However objects arrive, merging ends, leaves few of them, and rewrites a byte
// at most logarithmically often.
func TestMergingIsCheap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const target = 1 << 20
		n := rapid.IntRange(1, 400).Draw(t, "uploads")
		var objects []meta.ObjectRef
		var written, rewritten int64
		next := int64(0)
		for range n {
			size := rapid.Int64Range(1, 4096).Draw(t, "bytes")
			objects = append(objects, meta.ObjectRef{Base: next, End: next + 1, Bytes: size})
			next, written = next+1, written+size
			for {
				run := mergeable(objects, 8, target)
				if run == nil {
					break
				}
				at := int(0)
				for objects[at].Base != run[0].Base {
					at++
				}
				one := meta.ObjectRef{Base: run[0].Base, End: run[len(run)-1].End, Bytes: sum(run)}
				rewritten += one.Bytes
				if one.Bytes > target {
					t.Fatalf("an object of %d bytes", one.Bytes)
				}
				objects = append(append(append([]meta.ObjectRef(nil), objects[:at]...), one), objects[at+len(run):]...)
			}
		}
		if rewritten > 10*written {
			t.Fatalf("%d bytes caused %d bytes of rewrites", written, rewritten)
		}
		if len(objects) > 120 {
			t.Fatalf("%d of %d objects are left", len(objects), n)
		}
	})
}

// graph runs the whole pipeline on r in a bubble with virtual time.
func graph(t *testing.T, r *rig, body func(g *pipeline.Graph)) {
	t.Helper()
	g := pipeline.New("compact")
	from := pipeline.From(g, "plan", NewPlanner(*r.c.Config(), 1, r.meta.view, r.clock))
	pipeline.Into(from, "compact", r.c, pipeline.Depth(1))
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- g.Run(ctx, time.Second) }()
	body(g)
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// small uploads n objects with one record for each of three partitions.
func small(t *testing.T, r *rig, n int) {
	for range n {
		parts := map[int32][]record.Batch{}
		for p := range int32(3) {
			base := r.partition(p).TierEnd
			parts[p] = []record.Batch{batch(t, base, 1, record.None, kv{fmt.Sprint(p), fmt.Sprint(base)})}
		}
		r.upload(parts)
	}
}

func TestPartitionsShareAMergedObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, DefaultConfig())
		r.topic(4, nil)
		small(t, r, 8)
		r.meta.topic.Partitions[2].Leader = 2 // led by another broker
		graph(t, r, func(*pipeline.Graph) {
			synctest.Wait()
			for p, want := range []int{1, 1, 8, 0} {
				if m := r.partition(int32(p)); len(m.Objects) != want {
					t.Errorf("partition %d has %d objects, want %d", p, len(m.Objects), want)
				}
			}
			if a, b := r.partition(0).Objects[0], r.partition(1).Objects[0]; a.ID != b.ID || a.End != 8 {
				t.Errorf("%+v and %+v", a, b)
			}
			for p := range int32(2) {
				if got := r.read(p, 0); len(got) != 8 || string(got[5].Value) != "5" {
					t.Errorf("partition %d has %s", p, show(got))
				}
			}
			if n := testutil.ToFloat64(r.c.metrics.objects); n != 1 {
				t.Errorf("%v objects written", n)
			}
			small(t, r, 3) // not worth it yet
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			if n := testutil.ToFloat64(r.c.metrics.objects); n != 1 {
				t.Errorf("%v objects written", n)
			}
			small(t, r, 5)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if m := r.partition(0); len(m.Objects) != 2 {
				t.Errorf("%d objects", len(m.Objects))
			}
		})
	})
}

func TestCompactionIsPausedAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Paused = true
		r := newRig(t, cfg)
		r.topic(3, nil)
		small(t, r, 8)
		graph(t, r, func(g *pipeline.Graph) {
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(r.partition(0).Objects) != 8 || r.store.reads > 0 {
				t.Errorf("compaction ran while paused: %d reads", r.store.reads)
			}
			for value, want := range map[int64]bool{0: true, 1: true, 2: false} {
				if err := g.Tune("compact", map[string]int64{"paused": value}); (err == nil) != want {
					t.Errorf("paused=%d: %v", value, err)
				}
			}
			if err := g.Tune("compact", map[string]int64{"paused": 0}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if len(r.partition(0).Objects) != 1 {
				t.Error("compaction did not resume")
			}
		})
	})
}

// An object that takes longer than its prepared time is abandoned, since otherwise
// it might exist without being known to the metadata. The job is planned again.
func TestJobsThatTakeTooLongAreAbandoned(t *testing.T) {
	for name, stall := range map[string]func(*rig, bool){
		"paused": func(r *rig, yes bool) { r.c.throttle.pause(yes) },
		"slow":   func(r *rig, yes bool) { r.c.throttle.set(map[bool]int64{true: 100, false: 1 << 40}[yes]) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, DefaultConfig())
				var log bytes.Buffer
				r.c.Logger = slog.New(slog.NewTextHandler(&log, nil))
				r.topic(1, nil)
				for i := range int64(8) {
					r.upload(map[int32][]record.Batch{0: {batch(t, i, 1, record.None, kv{"k", string(make([]byte, 100_000))})}})
				}
				r.c.throttle.set(10_000)
				graph(t, r, func(*pipeline.Graph) {
					time.Sleep(time.Minute) // in the middle of the job
					stall(r, true)
					time.Sleep(time.Hour)
					synctest.Wait()
					if n := testutil.ToFloat64(r.c.metrics.jobs.WithLabelValues("merge", "failed")); n != 1 || len(r.store.objects) != 8 {
						t.Errorf("%v jobs failed, %d objects in the store", n, len(r.store.objects))
					}
					if !strings.Contains(log.String(), "raise object_storage.prepare_timeout_ms") {
						t.Errorf("the log does not say what to do:\n%s", &log)
					}
					stall(r, false)
					time.Sleep(30 * time.Minute) // reads started at 100 bytes per second wait for eleven
					synctest.Wait()
				})
				if m := r.partition(0); len(m.Objects) != 1 || len(r.meta.prepared) != 2 || len(r.store.objects) != 9 {
					t.Errorf("then %d objects, %d prepared, %d in the store", len(m.Objects), len(r.meta.prepared), len(r.store.objects))
				}
			})
		})
	}
}

// A running job is cancelled when the broker stops; its inputs stay.
func TestStopCancelsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, DefaultConfig())
		r.topic(1, nil)
		for i := range int64(8) {
			r.upload(map[int32][]record.Batch{0: {batch(t, i, 1, record.None, kv{"k", string(make([]byte, 100_000))})}})
		}
		r.c.throttle.set(1) // a byte per second
		began := time.Now()
		graph(t, r, func(*pipeline.Graph) {
			time.Sleep(time.Minute)
			synctest.Wait()
		})
		if took := time.Since(began); took > 61*time.Second {
			t.Errorf("the stop took until %s", took)
		}
		if m := r.partition(0); len(m.Objects) != 8 {
			t.Errorf("%d objects", len(m.Objects))
		}
		if n := len(r.store.objects); n != 8 {
			t.Errorf("%d objects in the store", n)
		}
		if n := testutil.ToFloat64(r.c.metrics.jobs.WithLabelValues("merge", "given_up")); n != 1 {
			t.Errorf("%v jobs given up", n)
		}
	})
}

// Reads and writes together stay within the bandwidth.
func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, DefaultConfig())
		r.topic(1, nil)
		value := string(make([]byte, 100_000))
		for i := range int64(10) {
			r.upload(map[int32][]record.Batch{0: {batch(t, i, 1, record.None, kv{"k", value})}})
		}
		r.c.throttle.set(100_000)
		began := time.Now()
		if err := r.c.merge(t.Context(), []Merge{{"t", r.at(0), 4, r.partition(0).Objects}}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("1 MB read and written at 100 kB a second took %s", took)
		}
	})
}

func TestPlannerContinuesAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, DefaultConfig())
		r.topic(3, nil)
		small(t, r, 8)
		fails := 3
		r.meta.fail = func(meta.Replacement) error {
			if fails--; fails >= 0 {
				return errors.New("away")
			}
			return nil
		}
		graph(t, r, func(*pipeline.Graph) {
			synctest.Wait()
			if n := len(r.partition(0).Objects); n != 8 {
				t.Errorf("%d objects", n)
			}
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if n := len(r.partition(0).Objects); n != 1 {
				t.Errorf("%d objects", n)
			}
		})
	})
}

func TestTune(t *testing.T) {
	r := newRig(t, DefaultConfig())
	p := NewPlanner(DefaultConfig(), 1, r.meta.view, r.clock)
	for _, c := range []struct {
		of   pipeline.Tunable
		key  string
		ok   []int64
		fail []int64
	}{
		{p, "check_interval_ms", []int64{100, 5000}, []int64{0, 99}},
		{p, "min_objects", []int64{4, 9}, []int64{3}},
		{r.c, "bytes_per_second", []int64{16 << 10, 5 << 20}, []int64{0, 16<<10 - 1}},
		{r.c, "memory_bytes", []int64{1 << 20}, []int64{1<<20 - 1}},
		{r.c, "nothing", nil, []int64{1}},
		{p, "nothing", nil, []int64{1}},
	} {
		for _, v := range c.ok {
			if err := c.of.Tune(map[string]int64{c.key: v}); err != nil || c.of.Tunables()[c.key] != v {
				t.Errorf("%s=%d: %v, is %d", c.key, v, err, c.of.Tunables()[c.key])
			}
		}
		for _, v := range c.fail {
			if c.of.Tune(map[string]int64{c.key: v}) == nil {
				t.Errorf("%s=%d was accepted", c.key, v)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"interval": func(c *Config) { c.Interval = 0 }, "rate": func(c *Config) { c.BytesPerSecond = 0 },
		"memory": func(c *Config) { c.MemoryBytes = 0 }, "target": func(c *Config) { c.TargetBytes = 0 },
		"objects": func(c *Config) { c.MinObjects = 3 },
	} {
		c := DefaultConfig()
		if change(&c); c.Validate() == nil {
			t.Errorf("%s was not checked", name)
		}
	}
}

func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.Int64Range(0, 1<<18).Draw(t, "budget")
		x, want := newIndex(budget), map[string]int64{}
		n := rapid.IntRange(0, 20_000).Draw(t, "records")
		keys := rapid.IntRange(1, 10_000).Draw(t, "keys")
		for i := range n {
			k := fmt.Sprint(i * 7919 % keys)
			if !x.put([]byte(k), int64(i)) {
				if _, known := want[k]; known || len(want) < len(x.slots)/4*3 {
					t.Fatalf("no space for %s with %d keys in %d slots", k, len(want), len(x.slots))
				}
				break
			}
			want[k] = int64(i)
		}
		if x.bytes() > max(budget, leastSize*slotBytes) {
			t.Fatalf("%d bytes of %d", x.bytes(), budget)
		}
		for i := range keys {
			k := fmt.Sprint(i)
			got, ok := x.get([]byte(k))
			if w, there := want[k]; ok != there || ok && got != w {
				t.Fatalf("%s is at %d, %v; want %d, %v", k, got, ok, w, there)
			}
		}
	})
}
