package resident

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Pages are released after the start, then once a minute, except in minutes in which the
// program was busy.
func TestKeepLeavesABusyProgramAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used, shrunk atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			keep(ctx, 5*time.Second, time.Minute, func() time.Duration { return time.Duration(used.Load()) }, func() { shrunk.Add(1) })
		}()
		for i, c := range []struct {
			wait, uses time.Duration
			want       int64
		}{{4 * time.Second, 4 * time.Second, 0}, {time.Second, 0, 1}, {time.Minute, 0, 2}, {time.Minute, 2 * time.Second, 3},
			{time.Minute, 4 * time.Second, 3}, {time.Minute, 0, 4}} {
			used.Add(int64(c.uses))
			time.Sleep(c.wait)
			synctest.Wait()
			if n := shrunk.Load(); n != c.want {
				t.Errorf("step %d: shrunk %d times, want %d", i, n, c.want)
			}
		}
		stop()
		<-over
	})
}

func TestProcessorTimeGrows(t *testing.T) {
	before := processorTime()
	for until := time.Now().Add(10 * time.Second); processorTime() <= before; {
		if time.Now().After(until) {
			t.Fatal("processor time does not grow")
		}
	}
}
