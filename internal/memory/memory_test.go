package memory_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluicemq/sluice/internal/memory"
)

func TestTryNeverExceedsTheLimit(t *testing.T) {
	a := memory.NewAccount(1000)
	var all sync.WaitGroup
	var mu sync.Mutex
	granted := 0
	for range 8 {
		all.Go(func() {
			for range 100 {
				if a.Try(7) {
					mu.Lock()
					granted++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if granted != 1000/7 || a.Used() != int64(granted*7) {
		t.Errorf("%d of 7 bytes granted, %d in use", granted, a.Used())
	}
	a.Refund(7)
	if !a.Try(7) || a.Try(7) {
		t.Error("returned bytes are not available exactly once")
	}
	a.Charge(100)
	if a.Used() <= a.Limit() || a.Try(0) {
		t.Error("a charge must succeed beyond the limit, and nothing fit afterwards")
	}
	a.Resize(2000)
	if !a.Try(7) {
		t.Error("the new limit is not enforced")
	}
}

func TestANilAccountTakesEverything(t *testing.T) {
	var a *memory.Account
	a.Charge(1 << 40)
	a.Resize(1)
	if !a.Try(1<<40) || a.Used() != 0 || a.Limit() != 0 {
		t.Error("it counts")
	}
}

func TestMapSumsAndExportsItsLines(t *testing.T) {
	var m memory.Map
	a := memory.NewAccount(100)
	a.Charge(7)
	m.Add(memory.Of(memory.Use{Name: "a"}, a))
	m.Add(memory.Line{Use: memory.Use{Name: "b", Mapped: true}, Used: func() int64 { return 1 }, Limit: func() int64 { return 10 }})
	if n := m.Heap(); n != 100 {
		t.Errorf("%d bytes of the heap", n)
	}
	if err := m.Fit(memory.Rest + 110); err != nil || m.Fit(0) != nil {
		t.Error(err)
	}
	if err := m.Fit(memory.Rest + 109); err == nil || !strings.Contains(err.Error(), "raise it to") {
		t.Errorf("more than the machine has: %v", err)
	}
	want := `
# HELP sluice_memory_bytes Bytes in use, by use.
# TYPE sluice_memory_bytes gauge
sluice_memory_bytes{use="a"} 7
sluice_memory_bytes{use="b"} 1
# HELP sluice_memory_limit_bytes Limit in bytes, by use.
# TYPE sluice_memory_limit_bytes gauge
sluice_memory_limit_bytes{use="a"} 100
sluice_memory_limit_bytes{use="b"} 10
`
	if err := testutil.CollectAndCompare(&m, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a duplicate name is accepted")
		}
	}()
	m.Add(memory.Of(memory.Use{Name: "a"}, a))
}
