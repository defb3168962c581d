package admit

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/record"
)

func zeros(t *testing.T, records, bytes int) record.Batch {
	t.Helper()
	m := record.NewBuilder()
	m.Codec = record.Zstd
	for range records {
		m.Add(1, nil, make([]byte, bytes))
	}
	b, err := m.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// While one batch that unpacks to much is looked at, others of its kind wait, no longer
// than their request lives, and small ones do not.
func TestLargeBatchesWaitForEachOtherOnly(t *testing.T) {
	u := newUnpacking(prometheus.NewRegistry())
	u.large <- struct{}{} // one is in its place
	if err := u.check(t.Context(), zeros(t, 3, 1000)); err != nil {
		t.Errorf("a small one: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- u.check(ctx, zeros(t, 2, smallUnpacked)) }()
	select {
	case err := <-over:
		t.Fatalf("a large one did not wait: %v", err)
	default:
	}
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("its request has ended: %v", err)
	}
	<-u.large
	if err := u.check(t.Context(), zeros(t, 2, smallUnpacked)); err != nil {
		t.Errorf("a large one in its turn: %v", err)
	}
	if len(u.small) != 0 || len(u.large) != 0 {
		t.Error("a place was not given back")
	}
}

func TestWhatUnpacksToTooMuch(t *testing.T) {
	u := newUnpacking(prometheus.NewRegistry())
	if err := u.check(t.Context(), zeros(t, 2, record.MaxUnpacked/2)); !errors.Is(err, record.ErrTooLarge) {
		t.Errorf("what can be split: %v", err)
	}
	if err := u.check(t.Context(), zeros(t, 1, record.MaxUnpacked)); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("what cannot: %v", err)
	}
}
