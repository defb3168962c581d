package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	startLimit = 2 * time.Minute
	pollEvery  = 20 * time.Millisecond
)

// process is one life of a node.
type process interface {
	pid() int
	alive() bool
	ended() error // why, if it is not alive
	kill() error  // no error if it has ended
	log() string  // file
}

// child is a process that was started here.
type child struct {
	cmd    *exec.Cmd
	output string
	over   chan struct{}
	err    error // of Wait, once over
}

// launch starts a node, in a process group of its own so that ^C does not reach it. It is killed when this process ends,
// however that happens. That takes a thread that lives as long as the node does, since Linux
// kills a child when the thread that started it ends.
func launch(host Host, n Node, log string) (*child, error) {
	p := &child{output: log, over: make(chan struct{})}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.CommandContext(context.Background(), n.Path, n.Args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = out, out, append(os.Environ(), n.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := host.Start(p.cmd)
		started <- err
		if err != nil {
			return
		}
		if p.err = p.cmd.Wait(); p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.over)
	}()
	return p, <-started
}

func (p *child) pid() int    { return p.cmd.Process.Pid }
func (p *child) log() string { return p.output }

func (p *child) alive() bool {
	select {
	case <-p.over:
		return false
	default:
		return true
	}
}

func (p *child) ended() error {
	if p.alive() {
		return nil
	}
	return p.err
}

func (p *child) kill() error {
	if err := signal(p, syscall.SIGKILL); err != nil {
		return err
	}
	<-p.over
	return nil
}

// signal sends a signal to a process; one that has ended does not get it.
func signal(p process, s syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.pid(), s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// await waits until a process is ready.
func await(ctx context.Context, p process, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if !p.alive() {
			return fmt.Errorf("ended at its start (%w): %s", p.ended(), tail(p))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("was not ready in time (%w): %s", err, tail(p))
		case <-tick.C:
		}
	}
}

// tail returns the end of what a node printed.
func tail(p process) string {
	const most = 3000
	b, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
