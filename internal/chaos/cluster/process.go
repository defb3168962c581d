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
type process struct {
	cmd  *exec.Cmd
	log  string
	over chan struct{}
	err  error // of Wait, once over
}

// launch starts a node, in a process group of its own. The node is killed when this process ends,
// however that happens. That takes a thread that lives as long as the node does, since Linux
// kills a child when the thread that started it ends.
func launch(host Host, n Node, log string) (*process, error) {
	p := &process{log: log, over: make(chan struct{})}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(n.Path, n.Args...)
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

func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.over:
			return fmt.Errorf("ended at its start (%w): %s", p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("was not ready in time (%w): %s", err, p.tail())
		case <-tick.C:
		}
	}
}

func (p *process) alive() bool {
	select {
	case <-p.over:
		return false
	default:
		return true
	}
}

// signal sends a signal to the process group.
func (p *process) signal(s syscall.Signal) error {
	if !p.alive() {
		return fmt.Errorf("it has ended (%w): %s", p.err, p.tail())
	}
	return syscall.Kill(-p.cmd.Process.Pid, s)
}

func (p *process) stop() error { return p.signal(syscall.SIGSTOP) }
func (p *process) cont() error { return p.signal(syscall.SIGCONT) }

// kill is no error if the process has ended.
func (p *process) kill() error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	<-p.over
	return nil
}

// tail returns the end of what the node printed.
func (p *process) tail() string {
	const most = 3000
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}
