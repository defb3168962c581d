package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/freeport"
)

// binary is the path of the sluice executable under test: SLUICE_BINARY, for comparing builds, or
// one built from the current source.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if binary = os.Getenv("SLUICE_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "sluice")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/sluicemq/sluice/cmd/sluice").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// broker is a `sluice dev` process or, if started by role, a broker or controller process.
type broker struct {
	t     testing.TB
	dir   string
	addr  string // QUIC and TCP
	admin string
	args  []string
	text  string // the settings, in tests that rewrite them
	file  string // the settings file, if started by role
	cmd   *exec.Cmd
	log   *output
	over  chan error
}

// output collects the output of a process. It is safe for concurrent use.
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

// freePort returns an address on loopback for a broker; see [freeport.Address].
func freePort(t testing.TB) string {
	t.Helper()
	addr, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// newBroker starts a broker on a new data directory and kills it when the test ends.
func newBroker(t testing.TB, args ...string) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir(), addr: freePort(t), admin: freePort(t), args: args}
	b.start()
	t.Cleanup(func() {
		if b.cmd != nil {
			b.kill()
		}
		if t.Failed() {
			t.Logf("the broker printed:\n%s", tail(b.log.String(), 6000))
		}
	})
	return b
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// start starts the process and waits until it is ready.
func (b *broker) start() {
	b.t.Helper()
	if err := b.tryStart(); err != nil {
		b.t.Fatalf("%v\n%s", err, b.log)
	}
}

// launch starts the process.
func (b *broker) launch() error {
	args := append([]string{"dev", "--data-dir", b.dir, "--listen", b.addr, "--admin", b.admin}, b.args...)
	b.cmd = exec.Command(binary, args...)
	b.log = &output{}
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		return err
	}
	b.over = make(chan error, 1)
	go func(cmd *exec.Cmd, over chan error) { over <- cmd.Wait() }(b.cmd, b.over)
	return nil
}

func (b *broker) tryStart() error {
	if err := b.launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/readyz", nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-b.over:
			b.cmd = nil
			return fmt.Errorf("the broker ended: %w", err)
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the broker was not ready in time")
		}
	}
}

// startWithout starts the process even though some or all of its WAL is missing.
func (b *broker) startWithout() {
	b.t.Helper()
	args := b.args
	b.args = append([]string{"--accept-lost-wal"}, args...)
	b.start()
	b.args = args
}

// kill kills the process as kill -9 does, and waits until it has exited.
func (b *broker) kill() {
	b.t.Helper()
	_ = b.cmd.Process.Kill()
	<-b.over
	b.cmd = nil
}

// stop sends SIGTERM and checks that the broker exits cleanly.
func (b *broker) stop() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	select {
	case err := <-b.over:
		b.cmd = nil
		if err != nil {
			b.t.Fatalf("stop: %v\n%s", err, b.log)
		}
	case <-time.After(60 * time.Second):
		b.t.Fatal("the broker did not stop")
	}
}

// sluice runs a command of the binary against the broker and returns its output and exit code. The
// command finds the CA in the broker's data directory.
func (b *broker) sluice(stdin string, args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	cmd := exec.Command(binary, append(args, "--broker", b.addr)...)
	cmd.Env = append(os.Environ(), "SLUICE_DATA_DIR="+b.dir)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is like sluice, for commands that must succeed.
func (b *broker) must(stdin string, args ...string) string {
	b.t.Helper()
	out, errs, code := b.sluice(stdin, args...)
	if code != 0 {
		b.t.Fatalf("sluice %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// metric returns the sum of all series of a metric whose line contains every string in has.
func (b *broker) metric(name string, has ...string) float64 {
	b.t.Helper()
	resp, err := http.Get("http://" + b.admin + "/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(resp.Body); err != nil {
		b.t.Fatal(err)
	}
	total := 0.0
lines:
	for line := range strings.Lines(buf.String()) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, h := range has {
			if !strings.Contains(rest, h) {
				continue lines
			}
		}
		var v float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err == nil {
			total += v
		}
	}
	return total
}
