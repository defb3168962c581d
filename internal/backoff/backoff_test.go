package backoff_test

import (
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/backoff"
)

func TestPausesDoubleUpToTheMaximum(t *testing.T) {
	s, now := backoff.New[string](10*time.Second), time.UnixMilli(1)
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
		if !s.Due("a", now) {
			t.Fatal("not due")
		}
		s.Failed("a", now, time.Second)
		if s.Due("a", now.Add(want-1)) || !s.Due("a", now.Add(want)) || !s.Due("b", now) {
			t.Fatalf("the pause is not %s, or another key shares it", want)
		}
		now = now.Add(want)
	}
	s.Done("a")
	if s.Failed("a", now, time.Minute); s.Due("a", now.Add(time.Minute-1)) || !s.Due("a", now.Add(time.Minute)) {
		t.Error("a first pause above the maximum is not kept")
	}
}

func TestRemovedKeysAreForgotten(t *testing.T) {
	s := backoff.New[int](time.Hour)
	for i := range 4 {
		s.Failed(i, time.UnixMilli(0), time.Second)
	}
	s.Forget(func(i int) bool { return i%2 == 0 })
	if s.Len() != 2 || !s.Failing(2) || s.Failing(3) || !s.Due(3, time.UnixMilli(0)) {
		t.Errorf("%d are left", s.Len())
	}
}
