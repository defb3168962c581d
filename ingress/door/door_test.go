package door_test

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

	"github.com/sluicemq/sluice/ingress/door"
)

func at(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }

func TestBounds(t *testing.T) {
	b := door.NewBounds(3, 2)
	enter := func(ip string, want error) func() {
		t.Helper()
		leave, err := b.Enter(at(ip))
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", ip, err, want)
		}
		return leave
	}
	first := enter("192.0.2.1", nil)
	enter("192.0.2.1", nil)
	enter("192.0.2.1", door.ErrFullForIP)
	enter("::ffff:192.0.2.1", door.ErrFullForIP) // the same in other words
	enter("192.0.2.2", nil)
	enter("192.0.2.3", door.ErrFull)
	first()
	first() // once is enough
	enter("192.0.2.3", nil)
	enter("192.0.2.4", door.ErrFull)
}

func TestBoundsOfManyAtOnce(t *testing.T) {
	b := door.NewBounds(10, 0)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if leave, err := b.Enter(at("192.0.2.1")); err == nil {
				leave()
			}
		})
	}
	wg.Wait()
	for i := range 10 {
		if _, err := b.Enter(at("192.0.2.1")); err != nil {
			t.Fatalf("place %d was not given back: %v", i, err)
		}
	}
}

func TestPauseGrowsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p door.Pause
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
		err := door.ListenError("TCP", "192.0.2.1:80", fmt.Errorf("listen: %w", os.NewSyscallError("bind", cause)))
		if !strings.Contains(err.Error(), says) || !errors.Is(err, cause) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}
