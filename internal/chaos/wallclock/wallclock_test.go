//go:build chaos && linux && amd64

package wallclock

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

const child = "WALLCLOCK_TEST_CHILD"

// TestMain answers each line with the wall clock and the time since the start.
func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	begin := time.Now()
	go func() { // another thread that reads the clock all the time
		for time.Now().Year() > 0 {
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(time.Now().Unix(), int64(time.Since(begin)))
	}
	os.Exit(0)
}

func TestTheClockOfOneProcessJumps(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr = append(os.Environ(), child+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	ask := func() (wall time.Time, running time.Duration) {
		fmt.Fprintln(in)
		var s, ns int64
		if _, err := fmt.Fscan(out, &s, &ns); err != nil {
			t.Fatal(err)
		}
		return time.Unix(s, 0), time.Duration(ns)
	}
	_, last := ask()
	for _, offset := range []time.Duration{0, time.Hour, -5 * time.Minute, time.Hour, 0} {
		if err := Set(cmd.Process.Pid, offset); err != nil {
			t.Fatal(err)
		}
		wall, running := ask()
		if d := wall.Sub(time.Now()) - offset; d < -30*time.Second || d > 2*time.Second {
			t.Errorf("offset %s: the clock is off by %s more", offset, d)
		}
		if running < last || running > last+time.Minute {
			t.Errorf("offset %s: the monotonic clock went from %s to %s", offset, last, running)
		}
		last = running
	}
	if time.Now().Year() < 2026 {
		t.Error("the clock of this process changed")
	}
}

func TestAProcessThatIsNotThere(t *testing.T) {
	if Set(1<<22-1, time.Hour) == nil {
		t.Error("no error")
	}
}
