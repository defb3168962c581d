package admission_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/ingress/admission"
	"github.com/sluicemq/sluice/pipeline"
)

func TestGateHoldsProducersAndLetsOthersPass(t *testing.T) {
	const produce, fetch = 0, 1
	synctest.Test(t, func(t *testing.T) {
		g := admission.NewGate(64<<20, prometheus.NewRegistry())
		large, _ := admission.Largest(64 << 20)
		first := g.Frame(pipeline.Holder{Conn: 1}, produce, large)
		if err := first.Grow(t.Context(), large); err != nil {
			t.Fatal(err)
		}
		entered := make(chan struct{})
		go func() {
			second := g.Frame(pipeline.Holder{Conn: 1}, produce, 1<<20)
			defer second.Release()
			if err := second.Grow(t.Context(), 1<<20); err != nil {
				t.Error(err)
			}
			close(entered)
		}()
		synctest.Wait()
		select {
		case <-entered:
			t.Error("a producer came in beyond the budget")
		default:
		}
		for _, other := range []*pipeline.Claim{g.Frame(pipeline.Holder{Conn: 2}, fetch, 1<<20), g.Work(pipeline.Holder{Conn: 2}, 1<<40)} {
			if err := other.Grow(t.Context(), 1<<20); err != nil {
				t.Fatal(err)
			}
			other.Release()
		}
		first.Release()
		<-entered
		beyond := g.Frame(pipeline.Holder{Conn: 1}, produce, large+1)
		defer beyond.Release()
		if err := beyond.Grow(t.Context(), 1); !errors.Is(err, pipeline.ErrTooLarge) {
			t.Errorf("a frame larger than the budget: %v", err)
		}
	})
}
