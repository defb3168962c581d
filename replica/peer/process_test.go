package peer

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childMain is a follower's process. It stays until its input ends.
func childMain(leader string) {
	c := quick()
	c.PingTimeout = time.Second
	r := &recorder{}
	p, err := New(Options{Config: c, Cluster: "c", Broker: 2, Incarnation: 1, Local: r, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go p.Serve(l)
	p.Update([]Broker{{ID: 1, Incarnation: 1, Address: leader}})
	fmt.Println(l.Addr())
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// child starts a follower's process, and returns the address on which it accepts streams.
func child(t *testing.T, leader *side) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+leader.addr)
	if _, err := cmd.StdinPipe(); err != nil { // ends with this process
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(addr)
}

// TestAProcessThatStopsAndOneThatIsKilled: a stopped follower, whose kernel goes on to acknowledge what arrives, is noticed
// by its silence; one that goes on comes back; a killed one is noticed at once.
func TestAProcessThatStopsAndOneThatIsKilled(t *testing.T) {
	const timeout = time.Second
	leader := newSide(t, 1, 1, func(o *Options) { o.Config.PingTimeout = timeout })
	leader.Update([]Broker{{ID: 2, Incarnation: 1}})
	cmd, addr := child(t, leader)
	leader.Update([]Broker{{ID: 2, Incarnation: 1, Address: addr}})
	connected := func() bool { return leader.followers.get(2) != nil }
	wait(t, "it is connected", connected)
	leader.give(leader.Peers, 2, 1, 100<<10)
	wait(t, "records are sent", func() bool { return leader.released.Load() == 1 })

	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	leader.give(leader.Peers, 2, 200, 100<<10) // more than sockets hold
	wait(t, "it is disconnected", func() bool { return leader.count("disconnected 2") == 1 })
	if d := time.Since(began); d < timeout/2 || d > 10*timeout {
		t.Errorf("silence was noticed after %s at a timeout of %s", d, timeout)
	} else {
		t.Logf("silence was noticed after %s", d)
	}
	wait(t, "what was on the way is released", func() bool {
		leader.guard.Lock()
		defer leader.guard.Unlock()
		return leader.released.Load() == leader.lent
	})
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	wait(t, "it comes back", connected)

	before := leader.count("disconnected 2")
	began = time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, "it is disconnected", func() bool { return leader.count("disconnected 2") > before })
	if d := time.Since(began); d > timeout/2 {
		t.Errorf("the end of a process was noticed after %s", d)
	} else {
		t.Logf("the end of a process was noticed after %s", d)
	}
}
