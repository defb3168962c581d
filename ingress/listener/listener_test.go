package listener_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicemq/sluice/ingress/listener"
)

func at(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }

func TestBounds(t *testing.T) {
	b := listener.NewBounds(3, 2, nil)
	enter := func(ip string, want error) func() {
		t.Helper()
		leave, err := b.Enter(at(ip), 1)
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", ip, err, want)
		}
		return leave
	}
	first := enter("192.0.2.1", nil)
	enter("192.0.2.1", nil)
	enter("192.0.2.1", listener.ErrFullForIP)
	enter("::ffff:192.0.2.1", listener.ErrFullForIP) // the same address
	enter("192.0.2.2", nil)
	enter("192.0.2.3", listener.ErrFull)
	first()
	first() // calling it again does nothing
	enter("192.0.2.3", nil)
	enter("192.0.2.4", listener.ErrFull)
}

func TestBoundsOfManyAtOnce(t *testing.T) {
	b := listener.NewBounds(10, 20, nil)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if leave, err := b.Enter(at("192.0.2.1"), 1); err == nil {
				leave()
			}
		})
	}
	wg.Wait()
	for i := range 10 {
		if _, err := b.Enter(at("192.0.2.1"), 1); err != nil {
			t.Fatalf("slot %d was not released: %v", i, err)
		}
	}
}

// One address never takes every slot: the last quarter is reserved for addresses that hold
// less.
func TestOneAddressLeavesPlacesToOthers(t *testing.T) {
	b := listener.NewBounds(100, 0, nil)
	n := 0
	for ; n < 200; n++ {
		if _, err := b.Enter(at("192.0.2.1"), 1); err != nil {
			if !errors.Is(err, listener.ErrFullForIP) {
				t.Error(err)
			}
			break
		}
	}
	if n != 75 {
		t.Errorf("one address has %d of 100 slots, want 75", n)
	}
	for i := range 25 {
		if _, err := b.Enter(at("192.0.2.2"), 1); err != nil {
			t.Fatalf("another address, place %d: %v", i, err)
		}
	}
	if _, err := b.Enter(at("192.0.2.3"), 1); !errors.Is(err, listener.ErrFull) {
		t.Errorf("place 101: %v", err)
	}
}

// Listeners share one memory budget and return what they took.
func TestConnectionsAreChargedToMemory(t *testing.T) {
	m := listener.NewMemory(1000)
	one, two := listener.NewBounds(0, 0, m), listener.NewBounds(0, 0, m)
	var leave []func()
	enter := func(b *listener.Bounds, ip string, n int64) error {
		l, err := b.Enter(at(ip), n)
		if err == nil {
			leave = append(leave, l)
		}
		return err
	}
	for _, c := range []struct {
		b    *listener.Bounds
		ip   string
		n    int64
		want error
	}{
		{one, "192.0.2.1", 400, nil},
		{two, "192.0.2.1", 350, nil},
		{one, "192.0.2.1", 1, listener.ErrNoMemory}, // holds more than a quarter
		{one, "192.0.2.2", 150, nil},
		{two, "192.0.2.2", 101, listener.ErrNoMemory},
		{two, "192.0.2.2", 100, nil},
		{one, "192.0.2.3", 1, listener.ErrNoMemory},
	} {
		if err := enter(c.b, c.ip, c.n); !errors.Is(err, c.want) {
			t.Errorf("%d bytes for %s: %v, want %v", c.n, c.ip, err, c.want)
		}
	}
	if used, limit := m.Memory(); used != 1000 || limit != 1000 {
		t.Errorf("used %d of %d", used, limit)
	}
	for _, l := range leave {
		l()
		l()
	}
	if used, _ := m.Memory(); used != 0 {
		t.Errorf("%d bytes were not released", used)
	}
}

// Windows start smaller when there are many, grow while half of the budget is free, and never
// use what new connections need.
func TestWindowsLeaveHalfToConnections(t *testing.T) {
	m, ip := listener.NewMemory(64<<20), listener.Address(at("192.0.2.1"))
	if w := m.Window(32<<10, 768<<10); w != 768<<10 {
		t.Errorf("the first starts with %d", w)
	}
	grown := int64(0)
	for m.Grow(ip, 1<<20) {
		grown += 1 << 20
	}
	if grown != 32<<20 {
		t.Errorf("windows have grown by %d", grown)
	}
	if w := m.Window(32<<10, 768<<10); w != 32<<10 {
		t.Errorf("one of very many starts with %d", w)
	}
	m.Shrink(ip, grown)
	if used, _ := m.Memory(); used != 0 {
		t.Errorf("%d bytes were not released", used)
	}
}

func TestPauseGrowsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p listener.Pause
		began := time.Now()
		for range 12 {
			p.Wait(t.Context())
		}
		if d := time.Since(began); d < 5*time.Second || d > 6*time.Second {
			t.Errorf("twelve pauses took %v", d)
		}
		p.Reset()
		began = time.Now()
		p.Wait(t.Context())
		if d := time.Since(began); d != 5*time.Millisecond {
			t.Errorf("the first pause after a success took %v", d)
		}
	})
}

func TestListenErrorsSayWhatToDo(t *testing.T) {
	for says, cause := range map[string]error{"in use; stop": syscall.EADDRINUSE, "1024": syscall.EACCES, "0.0.0.0": syscall.EADDRNOTAVAIL,
		"HOST:PORT": errors.New("missing port")} {
		err := listener.ListenError("TCP", "192.0.2.1:80", fmt.Errorf("listen: %w", os.NewSyscallError("bind", cause)))
		if !strings.Contains(err.Error(), says) || !errors.Is(err, cause) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}
