package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is a running server.
type Process struct {
	Proc
	name string
	cmd  *exec.Cmd
	log  string // file
	over chan struct{}
	err  error // of Wait, once over
}

const (
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
	pollEvery  = 20 * time.Millisecond
)

// command says how to start a server.
type command struct {
	name  string // for messages
	path  string
	args  []string
	env   []string
	dir   string // where its log goes
	ready func(context.Context) bool
}

// start starts a server and waits until it is ready.
func start(ctx context.Context, c command) (*Process, error) {
	p := &Process{name: c.name, log: filepath.Join(c.dir, c.name+".log"), over: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(c.path, c.args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = out, out, append(os.Environ(), c.env...)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	p.Proc = Proc(p.cmd.Process.Pid)
	go func() {
		p.err = p.cmd.Wait()
		close(p.over)
	}()
	if err := p.await(ctx, c.ready); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Process) await(ctx context.Context, ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ready(ctx) {
			return nil
		}
		select {
		case <-p.over:
			return fmt.Errorf("%s ended at its start (%w): %s", p.name, p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready within %s: %s", p.name, startLimit, p.tail())
		case <-tick.C:
		}
	}
}

// answers200 returns a readiness check of a URL.
func answers200(url string) func(context.Context) bool {
	return func(ctx context.Context) bool { return ok(ctx, url) }
}

func ok(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// tail returns the end of the server's output.
func (p *Process) tail() string {
	const most = 2000
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

// Alive returns an error if the server has exited.
func (p *Process) Alive() error {
	select {
	case <-p.over:
		return fmt.Errorf("%s ended during the run (%w): %s", p.name, p.err, p.tail())
	default:
		return nil
	}
}

// Stop asks the server to stop, and kills it if it does not.
func (p *Process) Stop() error {
	select {
	case <-p.over:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	t := time.NewTimer(stopLimit)
	defer t.Stop()
	select {
	case <-p.over:
		return nil
	case <-t.C:
		_ = p.cmd.Process.Kill() // exited meanwhile, or killed
		<-p.over
		return fmt.Errorf("%s did not stop within %s", p.name, stopLimit)
	}
}
