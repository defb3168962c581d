//go:build clients

package clients

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

// binary is the sluice executable under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-clients-")
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

// broker is one `sluice dev` process.
type broker struct {
	t     testing.TB
	dir   string
	addr  string
	admin string
	args  []string // of sluice
	cmd   *exec.Cmd
	over  chan error
	log   *output
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

// freePort returns an address on loopback for a broker; see [freeport.Address].
func freePort(t testing.TB) string {
	t.Helper()
	addr, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// newBroker starts a broker with `sluice dev`.
func newBroker(t testing.TB) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir(), addr: freePort(t), admin: freePort(t)}
	b.args = []string{"dev", "--data-dir", b.dir, "--listen", b.addr, "--admin", b.admin}
	b.run()
	return b
}

// newTLSBroker starts a broker with TLS on both listeners and a self-generated certificate.
func newTLSBroker(t testing.TB) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir(), addr: freePort(t), admin: freePort(t)}
	file := filepath.Join(b.dir, "broker.toml")
	settings := fmt.Sprintf("[broker]\ndata_directory = %q\n[network]\nquic_listen = %q\ntcp_listen = %q\ntcp_plaintext = \"never\"\n[admin]\nlisten = %q\n",
		b.dir, b.addr, b.addr, b.admin)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	b.args = []string{"broker", "--config", file}
	b.run()
	return b
}

// run starts the broker and stops it when the test ends. The test fails if the broker does not stop
// cleanly or has panicked.
func (b *broker) run() {
	t := b.t
	t.Helper()
	b.log = &output{}
	b.start()
	t.Cleanup(func() {
		b.stop()
		if s := b.log.String(); strings.Contains(s, "panic") {
			t.Errorf("the broker panicked:\n%s", s)
		} else if t.Failed() {
			t.Logf("the broker printed:\n%s", s[max(0, len(s)-4000):])
		}
	})
}

func (b *broker) start() {
	b.t.Helper()
	b.cmd = exec.Command(binary, b.args...)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.over = make(chan error, 1)
	go func(cmd *exec.Cmd, over chan<- error) { over <- cmd.Wait() }(b.cmd, b.over)
	ctx, cancel := context.WithTimeout(b.t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !b.ready(ctx) {
		select {
		case err := <-b.over:
			b.t.Fatalf("the broker ended: %v\n%s", err, b.log)
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("the broker was not ready in time\n%s", b.log)
		}
	}
}

func (b *broker) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/readyz", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // only the status matters
	return resp.StatusCode == http.StatusOK
}

func (b *broker) stop() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Error(err)
	}
	select {
	case err := <-b.over:
		if err != nil {
			b.t.Errorf("stop: %v", err)
		}
	case <-time.After(60 * time.Second):
		_ = b.cmd.Process.Kill() // the timeout is reported anyway
		b.t.Error("the broker did not stop in a minute")
	}
}

// createTopic creates a topic with `sluice topic create`.
func (b *broker) createTopic(name string, partitions int) {
	b.t.Helper()
	b.must("", binary, "topic", "create", name, "--partitions", fmt.Sprint(partitions), "--broker", b.addr)
}

// try runs a command with stdin, for up to two minutes.
func (b *broker) try(stdin, name string, args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "SLUICE_DATA_DIR="+b.dir, "SLUICE_BROKER="+b.addr)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is like try, but fails the test unless the command succeeds. It returns stdout.
func (b *broker) must(stdin, name string, args ...string) string {
	b.t.Helper()
	out, errs, code := b.try(stdin, name, args...)
	if code != 0 {
		b.t.Fatalf("%s %s: exit %d\n%s%s", name, strings.Join(args, " "), code, out, errs)
	}
	return out
}

// kcat runs kcat against the broker. It must succeed.
func (b *broker) kcat(stdin string, args ...string) string {
	b.t.Helper()
	return b.must(stdin, "kcat", append([]string{"-b", b.addr, "-X", "socket.timeout.ms=20000"}, args...)...)
}
