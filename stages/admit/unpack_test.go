package admit

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/pipeline"
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

func who(conn uint64, addr byte) pipeline.Holder {
	return pipeline.Holder{Conn: conn, Addr: netip.AddrFrom4([4]byte{192, 0, 2, addr})}
}

// However many batches of an address wait, on one connection or many, a batch of
// another address is next, and then one of a connection that has had no turn.
func TestTurnsAreFairByAddressAndConnection(t *testing.T) {
	u := newUnpacking(prometheus.NewRegistry())
	for conn := range uint64(2) { // both of the crowd's connections have had a turn
		pl, err := u.small.Acquire(t.Context(), who(conn, 1))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		pl.Release()
	}
	held := make([]*pipeline.Permit, atOnce())
	for i := range held {
		var err error
		if held[i], err = u.small.Acquire(t.Context(), who(uint64(i%2), 1)); err != nil {
			t.Fatal(err)
		}
	}
	waiting := 0
	wait := func(check func()) {
		go check()
		waiting++
		for deadline := time.Now().Add(20 * time.Second); u.small.Waiting() < waiting; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d batches are waiting", u.small.Waiting(), waiting)
			}
		}
	}
	stay := make(chan struct{}) // until closed, the crowd keeps its permits
	crowd := make(chan error, 100)
	for i := range 100 {
		wait(func() {
			pl, err := u.small.Acquire(t.Context(), who(uint64(i%2), 1))
			<-stay
			pl.Release()
			crowd <- err
		})
	}
	checked := make(chan error, 2)
	batch := zeros(t, 1, 1000)
	for _, h := range []pipeline.Holder{who(50, 1), who(100, 2)} {
		wait(func() { checked <- looked(t.Context(), u, h, batch) })
	}
	held[0].Release()
	for range 2 {
		select {
		case err := <-checked:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a batch waits for earlier batches of other clients")
		}
	}
	close(stay)
	for range 100 {
		if err := <-crowd; err != nil {
			t.Error(err)
		}
	}
	for _, pl := range held {
		pl.Release()
	}
	if !u.small.Idle() {
		t.Error("a place was not released")
	}
}

// looked checks b for a topic without rules.
func looked(ctx context.Context, u *unpacking, h pipeline.Holder, b record.Batch) error {
	_, err := u.check(ctx, h, b, record.Rules{})
	return err
}

// While a batch with a large decompressed size is checked, others like it wait,
// until their request is cancelled at most; small ones do not wait.
func TestLargeBatchesWaitOnlyForEachOther(t *testing.T) {
	u := newUnpacking(prometheus.NewRegistry())
	first, err := u.large.Acquire(t.Context(), who(1, 1)) // a large batch is being checked
	if err != nil {
		t.Fatal(err)
	}
	if err := looked(t.Context(), u, who(2, 2), zeros(t, 3, 1000)); err != nil {
		t.Errorf("a small batch: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- looked(ctx, u, who(2, 2), zeros(t, 2, smallUnpacked)) }()
	select {
	case err := <-over:
		t.Fatalf("a large batch did not wait: %v", err)
	default:
	}
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("after its request ended: %v", err)
	}
	first.Release()
	if err := looked(t.Context(), u, who(2, 2), zeros(t, 2, smallUnpacked)); err != nil {
		t.Errorf("a large batch on its turn: %v", err)
	}
	if !u.small.Idle() || !u.large.Idle() {
		t.Error("a place was not released")
	}
}

func TestBatchesThatDecompressToTooMuch(t *testing.T) {
	u := newUnpacking(prometheus.NewRegistry())
	if err := looked(t.Context(), u, who(2, 2), zeros(t, 2, record.MaxUnpacked/2)); !errors.Is(err, record.ErrTooLarge) {
		t.Errorf("a batch that can be split: %v", err)
	}
	if err := looked(t.Context(), u, who(2, 2), zeros(t, 1, record.MaxUnpacked)); !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("a single record: %v", err)
	}
}
