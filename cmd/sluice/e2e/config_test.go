package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// alone runs a command that needs no broker, with a data directory that does not exist.
func alone(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "SLUICE_DATA_DIR="+filepath.Join(t.TempDir(), "none"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// settings writes a settings file and returns its path.
func settings(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sluice.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigCheckAndPrint(t *testing.T) {
	for _, name := range []string{"broker", "controller", "example-development", "example-production"} {
		text, errs, code := alone(t, "config", "print", name)
		if code != 0 {
			t.Fatalf("print %s: %s", name, errs)
		}
		if out, errs, code := alone(t, "config", "check", "--text-only", settings(t, text)); code != 0 || !strings.Contains(out, "is valid for a") {
			t.Errorf("check %s: exit %d: %s%s", name, code, out, errs)
		}
	}
	file := settings(t, "[wal]\nsegment_size_byte = 3\n")
	_, errs, code := alone(t, "config", "check", file)
	if want := fmt.Sprintf("sluice: %s: unknown key wal.segment_size_byte; the nearest known key is wal.segment_size_bytes\n", file); code != 1 || errs != want {
		t.Errorf("exit %d: %q, want %q", code, errs, want)
	}
	file = settings(t, "[wal]\nfsync_on_write = false\n[broker]\nrack = \"r\"\n")
	out, _, code := alone(t, "config", "print", "--config", file)
	if code != 0 || !strings.Contains(out, "fsync_on_write = false") || !strings.Contains(out, `rack = "r"`) || !strings.Contains(out, "[stages.trim]") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if d := document(t, first(t, "config", "check", file, "--json")); d["role"] != "broker" || d["ok"] != true {
		t.Errorf("check --json: %v", d)
	}
	if _, errs, code := alone(t, "config", "check", file+"x"); code != 1 || !strings.Contains(errs, "sluice config print broker >") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// first is like alone, for commands that must succeed, and returns their output.
func first(t testing.TB, args ...string) string {
	t.Helper()
	out, errs, code := alone(t, args...)
	if code != 0 {
		t.Fatalf("sluice %s: exit %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

func TestConfigGetAndSet(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "t")
	b.must("", "config", "set", "topic", "t", "retention.ms=1234", "max.message.bytes=2000")
	if got := b.must("", "config", "get", "topic", "t", "retention.ms", "max.message.bytes"); got != "retention.ms=1234\nmax.message.bytes=2000\n" {
		t.Errorf("%q", got)
	}
	if all := documents(t, b.must("", "config", "get", "topic", "t", "--json")); len(all) < 20 {
		t.Errorf("%d configs", len(all))
	}
	b.fails(1, "topics have no config nothing", "config", "get", "topic", "t", "nothing")
	b.fails(1, "t", "config", "set", "topic", "t", "retention.ms=soon")
	b.fails(1, "topic gone does not exist", "config", "get", "topic", "gone")

	limits := func(stage string) map[string]any {
		return document(t, b.must("", "config", "get", "limits", stage, "--admin", b.admin, "--json"))["limits"].(map[string]any)
	}
	if l := limits("write/batch"); l["linger_us"] != 1000.0 || l["depth"] != 256.0 {
		t.Errorf("limits %v", l)
	}
	bounds := document(t, b.must("", "config", "get", "limits", "write/batch", "--admin", b.admin, "--json"))["bounds"].(map[string]any)
	if l, ok := bounds["linger_us"].(map[string]any); !ok || l["least"] != 0.0 || l["most"] != 1e6 || l["setting"] != "stages.batch.linger_us" {
		t.Errorf("bounds %v", bounds)
	}
	var table []string
	for line := range strings.Lines(b.must("", "config", "get", "limits", "--admin", b.admin)) {
		table = append(table, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{"STAGE LIMIT VALUE LEAST MOST SETTING", "write/batch linger_us 1000 0 1000000 stages.batch.linger_us",
		"read/locate workers 2 1 1024 stages.locate.workers", "write/batch workers 1 - - -"} {
		if !slices.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, strings.Join(table, "\n"))
		}
	}
	b.must("", "config", "set", "limits", "write/batch", "linger_us=500", "depth=99", "--admin", b.admin)
	if l := limits("write/batch"); l["linger_us"] != 500.0 || l["depth"] != 99.0 || l["max_bytes"] != 1048576.0 {
		t.Errorf("limits %v", l)
	}
	b.must("", "config", "set", "limits", "read/objectfetch", "workers=3", "--admin", b.admin)
	if l := limits("read/objectfetch"); l["workers"] != 3.0 {
		t.Errorf("limits %v", l)
	}
	for _, limit := range []string{"linger_us=9223372036854775807", "max_bytes=9223372036854775807"} {
		b.fails(1, "must be from", "config", "set", "limits", "write/batch", limit, "--admin", b.admin)
	}
	b.fails(1, "workers must be from 1 to 1024", "config", "set", "limits", "read/objectfetch", "workers=2000000000", "--admin", b.admin)
	b.must("still there\n", "produce", "t")
	// Several limits change together or not at all, whichever of them is invalid.
	before := limits("write/batch")
	for _, wrong := range []string{"eager_groups=0", "max_bytes=1", "nothing=1", "depth=0", "depth=70000", "workers=2000", "target_bytes=-1", "a=1"} {
		b.fails(1, "", "config", "set", "limits", "write/batch", "linger_us=123", wrong, "--admin", b.admin)
		if now := limits("write/batch"); !maps.Equal(now, before) {
			t.Errorf("with %s: %v, before %v", wrong, now, before)
		}
	}
	// The workers of single-worker stages cannot be changed.
	for _, stage := range []string{"write/batch", "write/wal", "write/publish", "upload/upload", "compact/compact", "retain/trim"} {
		b.fails(1, "fixed at 1", "config", "set", "limits", stage, "workers=2", "--admin", b.admin)
	}
	b.fails(2, "twice", "config", "set", "limits", "write/batch", "linger_us=1", "linger_us=2", "--admin", b.admin)
	pause := limits("compact/compact")
	b.fails(1, "memory_bytes", "config", "set", "limits", "compact/compact", "paused=1", "bytes_per_second=8388704", "memory_bytes=1", "--admin", b.admin)
	if now := limits("compact/compact"); !maps.Equal(now, pause) {
		t.Errorf("%v, before %v", now, pause)
	}
	// Two limits that are valid only together.
	b.must("", "config", "set", "limits", "write/batch", "target_bytes=2097152", "max_bytes=4194304", "--admin", b.admin)
	b.must("", "config", "set", "limits", "write/batch", "target_bytes=65536", "max_bytes=131072", "--admin", b.admin)
	for _, body := range []string{`{"graph":"write","stage":"batch"}`, `{"graph":"write","stage":"batch","depth":-1}`,
		`{"graph":"write","stage":"batch","set":{"linger_us":1},"key":"nothing","value":1}`} {
		resp, err := http.Post("http://"+b.admin+"/limits", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %s", body, resp.Status)
		}
	}
	if l := limits("write/batch"); l["linger_us"] != 500.0 || l["depth"] != 99.0 || l["max_bytes"] != 131072.0 {
		t.Errorf("limits %v", l)
	}
	b.fails(1, "no stage write/nothing", "config", "get", "limits", "write/nothing", "--admin", b.admin)
	b.fails(1, "no limit", "config", "set", "limits", "write/batch", "nothing=1", "--admin", b.admin)
	b.fails(1, "nothing", "config", "set", "limits", "nothing/batch", "depth=1", "--admin", b.admin)
	b.fails(1, "no admin server answers", "config", "get", "limits", "--admin", freePort(t))
}

// role starts a broker or controller process with the given settings and waits until it is ready.
func role(t testing.TB, name, text, admin string, flags ...string) *broker {
	t.Helper()
	b := launch(t, name, text, admin, flags...)
	b.awaitReady(name)
	return b
}

// launch starts a broker or controller process with the given settings. It does not wait until the
// process is ready.
func launch(t testing.TB, name, text, admin string, flags ...string) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir(), admin: admin, file: settings(t, text)}
	b.cmd = exec.Command(binary, append([]string{name, "--config", b.file}, flags...)...)
	b.log = &output{}
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.over = make(chan error, 1)
	go func() { b.over <- b.cmd.Wait() }()
	t.Cleanup(func() {
		if b.cmd != nil {
			b.kill()
		}
	})
	return b
}

// awaitReady waits until the process reports that it is ready.
func (b *broker) awaitReady(name string) {
	b.t.Helper()
	until := time.Now().Add(60 * time.Second)
	for {
		if resp, err := http.Get("http://" + b.admin + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(until) {
			b.t.Fatalf("%s was not ready in time\n%s", name, b.log)
		}
		select {
		case err := <-b.over:
			b.cmd = nil
			b.t.Fatalf("%s ended: %v\n%s", name, err, b.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A broker runs with a settings file, and TLS is required on both listeners.
func TestBrokerWithSettings(t *testing.T) {
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
id = 5
rack = "here"
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
tcp_plaintext = "never"
[wal]
directory = "log"
segment_size_bytes = 1048576
capacity_bytes = 8388608
upload_size_bytes = 1048576
[topics]
default_partitions = 3
[stages.batch]
linger_us = 7
[admin]
listen = %q
[log]
format = "json"
level = "info"
`, dir, addr, addr, admin), admin)
	b.dir, b.addr = dir, addr
	if d := document(t, b.must("", "topic", "create", "t", "--json")); d["partitions"] != 3.0 {
		t.Errorf("created %v", d)
	}
	b.must("x\n", "produce", "t", "--transport", "tls")
	b.fails(1, "use --transport tls", "topic", "list", "--transport", "tcp", "--timeout", "2s")
	if d := document(t, b.must("", "cluster", "status", "--json", "--admin", b.admin)); d["brokers"].([]any)[0].(map[string]any)["id"] != 5.0 {
		t.Errorf("status %v", d)
	}
	if l := document(t, b.must("", "config", "get", "limits", "write/batch", "--admin", admin, "--json")); l["limits"].(map[string]any)["linger_us"] != 7.0 {
		t.Errorf("limits %v", l)
	}
	if out := b.must("", "wal", "verify", filepath.Join(dir, "log")); !strings.Contains(out, "1 batch") {
		t.Errorf("verify: %s", out)
	}
	if got := b.must("", "consume", "t"); got != "x\n" {
		t.Errorf("over QUIC: %q", got)
	}
}

func TestControllerWithSettings(t *testing.T) {
	dir, admin := t.TempDir(), freePort(t)
	text := fmt.Sprintf("[controller]\ndata_directory = %q\n[admin]\nlisten = %q\n", dir, admin)
	c := role(t, "controller", text, admin)
	resp, err := http.Get("http://" + admin + "/metadata")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if d := document(t, body.String()); d["cluster_id"] == "" || d["cluster_id"] == nil {
		t.Errorf("metadata %v", d)
	}
	c.stop()
}
