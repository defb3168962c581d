package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluicemq/sluice/internal/freeport"
)

const (
	readyTime = 30 * time.Second // limit of a start
	stopTime  = 30 * time.Second // limit of a stop
)

// broker is a `sluice dev` process on free ports of loopback.
type broker struct {
	binary, dir string
	addr        string // QUIC and TCP
	admin       string // HTTP

	cmd  *exec.Cmd
	over chan error
	log  *output
}

func newBroker(binary, dir string) (*broker, error) {
	addr, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	admin, err := freeport.Address()
	if err != nil {
		return nil, err
	}
	return &broker{binary: binary, dir: dir, addr: addr, admin: admin, log: &output{}}, nil
}

// start starts the process and waits until it serves.
func (b *broker) start(ctx context.Context) error {
	b.log = &output{}
	// The process outlives the step that started it; stop and kill end it.
	b.cmd = exec.CommandContext(context.WithoutCancel(ctx), b.binary, "dev", "--data-dir", b.dir, "--listen", b.addr, "--admin", b.admin)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		b.cmd = nil
		return fmt.Errorf("start the broker: %w; `make build` makes it", err)
	}
	b.over = make(chan error, 1)
	go func(cmd *exec.Cmd, over chan<- error) { over <- cmd.Wait() }(b.cmd, b.over)
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !b.ready(ctx) {
		select {
		case err := <-b.over:
			b.cmd = nil
			return fmt.Errorf("the broker ended while it started (%w): %s", err, b.log.last())
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the broker was not ready in %s: %s", readyTime, b.log.last())
		}
	}
	return nil
}

func (b *broker) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// kill sends SIGKILL.
func (b *broker) kill() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill() // it may have exited by itself
	<-b.over                 // it was killed on purpose
	b.cmd = nil
}

// stop asks the process to stop and waits for it.
func (b *broker) stop() error {
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case err := <-b.over:
		b.cmd = nil
		if err != nil {
			return fmt.Errorf("the broker did not stop in good order (%w): %s", err, b.log.last())
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("the broker did not stop in %s: %s", stopTime, b.log.last())
	}
}

// output collects what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// last returns the last line.
func (o *output) last() string {
	lines := strings.Split(strings.TrimSpace(o.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "it printed nothing"
}
