//go:build chaos && linux

package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What this binary does instead of testing.
const (
	echoAt = "NETLAB_TEST_ECHO"  // serve an echo at an address
	linger = "NETLAB_TEST_SLEEP" // start a process on a host, in a sandbox, and wait
)

const marker = "987654.25" // seconds; names the process

func TestMain(m *testing.M) {
	if addr := os.Getenv(echoAt); addr != "" {
		fmt.Fprintln(os.Stderr, serve(addr))
		os.Exit(1)
	}
	main := m.Run
	if os.Getenv(linger) != "" {
		_ = os.Unsetenv(inside) // of the outer sandbox; set again in the new one
		if os.Getpid() == 1 {
			_ = os.Setenv(inside, "1")
		}
		main = waitInside
	}
	code, err := Sandbox(main)
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT RUN: internal/chaos/netlab,", err)
		code = 1
	}
	os.Exit(code)
}

func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() { _, _ = io.Copy(c, c) }()
	}
}

// network returns a switch with hosts a and b, each with an echo server.
func network(t *testing.T) (s *Switch, addrs map[string]string) {
	t.Helper()
	s, err := NewSwitch(1, "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	addrs = make(map[string]string)
	for _, name := range []string{"a", "b"} {
		addrs[name], _ = s.Host(name).Address()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env, cmd.Stderr = append(os.Environ(), echoAt+"="+addrs[name]), os.Stderr
		if err := s.Host(name).Start(cmd); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	return s, addrs
}

// dial connects once the server is up.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return c
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// echo sends bytes and waits for them to come back.
func echo(c net.Conn, n int, limit time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(limit))
	sent, got := bytes.Repeat([]byte{7}, n), make([]byte, n)
	failed := make(chan error, 1)
	go func() { _, err := c.Write(sent); failed <- err }()
	_, err := io.ReadFull(c, got)
	return errors.Join(err, <-failed)
}

func TestPartitionsCutAndHeal(t *testing.T) {
	s, addrs := network(t)
	a, b := dial(t, addrs["a"]), dial(t, addrs["b"])
	for name, pair := range map[string]Pair{"requests are lost": {Client, "a"}, "answers are lost": {"a", Client}, "a is cut off": {"a", ""}} {
		heal := s.Fail(Link{Cut: true}, pair)
		if echo(a, 1, 300*time.Millisecond) == nil {
			t.Errorf("%s: an echo came back", name)
		}
		if err := echo(b, 1, 30*time.Second); err != nil {
			t.Errorf("%s: another host is cut off: %v", name, err)
		}
		heal()
		a = dial(t, addrs["a"])
		if err := echo(a, 1, 30*time.Second); err != nil {
			t.Errorf("%s, healed: %v", name, err)
		}
	}
	if s.Counts().Lost == 0 {
		t.Error("no packet was lost")
	}
}

func TestLossAndDelayOnTheWire(t *testing.T) {
	s, addrs := network(t)
	a := dial(t, addrs["a"])
	if err := echo(a, 8<<20, time.Minute); err != nil {
		t.Fatal(err)
	}
	heal := s.Fail(Link{Loss: 0.1, Double: 0.1, Jitter: 5 * time.Millisecond}, Pair{})
	if err := echo(a, 1<<20, 2*time.Minute); err != nil {
		t.Errorf("10 %% loss: %v", err)
	}
	if c := s.Counts(); c.Lost == 0 || c.Doubled == 0 || c.Delayed == 0 {
		t.Errorf("%+v", c)
	}
	heal()
	s.Fail(Link{Delay: 60 * time.Millisecond}, Pair{Client, "a"}, Pair{"a", Client})
	begin := time.Now()
	if err := echo(a, 1, time.Minute); err != nil || time.Since(begin) < 120*time.Millisecond {
		t.Errorf("a round trip took %s, %v", time.Since(begin), err)
	}
}

func TestDiskFills(t *testing.T) {
	dir := t.TempDir()
	d, err := NewDisk(dir, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, 0)
	file := filepath.Join(dir, "x")
	if err := d.Fill(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, 8192), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	if err := errors.Join(d.Free(), os.WriteFile(file, make([]byte, 8192), 0o600)); err != nil {
		t.Error(err)
	}
}

// waitInside starts a process on a host and waits to be killed.
func waitInside() int {
	s, err := NewSwitch(1, "a")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command("sleep", marker)
	if err := s.Host("a").Start(cmd); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = cmd.Wait()
	return 1
}

// sleepers returns how many processes of waitInside there are.
func sleepers(t *testing.T) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), "sleep\x00"+marker) {
			n++
		}
	}
	return n
}

// A test that is killed leaves no process behind.
func TestNothingIsLeftOfASandboxThatIsKilled(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr = append(os.Environ(), linger+"=1"), os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await := func(want int) {
		for end := time.Now().Add(30 * time.Second); sleepers(t) != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				_ = cmd.Process.Kill()
				t.Fatalf("%d processes, want %d", sleepers(t), want)
			}
		}
	}
	await(1)
	_ = cmd.Process.Kill() // the outer process, not the sandbox itself
	_ = cmd.Wait()
	await(0)
}
