package process

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 150 7 8 20 0 1 0 5 6 7"))
	if err != nil || got != 4 {
		t.Fatalf("got %v, %v; want 4 seconds", got, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x) S 1 42 42 0 -1 4194560 100 0 0 0 u s 7 8"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestParseStatus(t *testing.T) {
	status := []byte("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n")
	if got, err := parseStatus(status, "VmHWM:"); err != nil || got != 2<<20 {
		t.Fatalf("got %d, %v", got, err)
	}
	if _, err := parseStatus(status, "VmSwap:"); err == nil {
		t.Fatal("a key that is not there was found")
	}
}

// The figures of this very process move as they should.
func TestProc(t *testing.T) {
	p := Proc(os.Getpid())
	before, err := p.CPU()
	if err != nil {
		t.Fatal(err)
	}
	own, spin := OwnCPU(), 0
	for OwnCPU()-own < 0.1 {
		for range 1_000_000 {
			spin++
		}
	}
	if after, err := p.CPU(); err != nil || after < before+0.05 {
		t.Fatalf("0.1 s of work moved the CPU time from %.2f to %.2f (%v)", before, after, err)
	}
	rss, err := p.RSS()
	if err != nil || rss < 1<<20 {
		t.Fatalf("%d bytes resident, %v", rss, err)
	}
	if peak, err := p.PeakRSS(); err != nil || peak < rss/2 {
		t.Fatalf("peak of %d, %v", peak, err)
	}
}

func TestStartSaysWhyAServerEnded(t *testing.T) {
	begin := time.Now()
	_, err := start(t.Context(), command{name: "shell", path: "/bin/sh", dir: t.TempDir(),
		args: []string{"-c", "echo no such luck; exit 3"}, ready: answers200("http://127.0.0.1:1/")})
	if err == nil || !contains(err.Error(), "no such luck", "status 3") {
		t.Fatalf("got %v", err)
	}
	if time.Since(begin) > startLimit/2 {
		t.Fatal("it waited although the process had ended")
	}
}

func contains(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
