package idempotence

import (
	"sync"
	"testing"
)

// States returns each producer once, even while producers write.
func TestStatesWhileProducersWrite(t *testing.T) {
	table := NewTable(16 << 20)
	ps := table.Open()
	const before = 3 * chunk
	for id := range int64(before) {
		ps.Append(Batch{ProducerID: id, AppendedMs: 1}, id)
	}
	var writers sync.WaitGroup
	writers.Go(func() {
		for id := range int64(before) {
			ps.Append(Batch{ProducerID: before + id, AppendedMs: 2}, before+id)
		}
	})
	for range 20 {
		states, ok := ps.States()
		if !ok || len(states) < before {
			t.Fatalf("%d states, loaded %v", len(states), ok)
		}
		for i := 1; i < len(states); i++ {
			if states[i-1].ID >= states[i].ID {
				t.Fatalf("id %d comes before %d", states[i-1].ID, states[i].ID)
			}
		}
	}
	writers.Wait()
	if _, ok := table.OpenLoading(1, 2, 2).States(); ok {
		t.Error("states are returned before they are loaded")
	}
}
