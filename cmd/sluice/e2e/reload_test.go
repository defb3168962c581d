package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicemq/sluice/internal/certs"
)

// hup sends SIGHUP and waits until a reload with that result is counted.
func (b *broker) hup(result string) {
	b.t.Helper()
	before := b.metric("sluice_config_reloads_total", `result="`+result+`"`)
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		b.t.Fatal(err)
	}
	until(b.t, b, "a reload that is "+result, 30*time.Second, func() bool { return b.metric("sluice_config_reloads_total", `result="`+result+`"`) == before+1 })
}

// rewrite replaces text in the settings file.
func (b *broker) rewrite(replace ...string) {
	b.t.Helper()
	b.text = strings.NewReplacer(replace...).Replace(b.text)
	if err := os.WriteFile(b.file, []byte(b.text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// limit returns a limit of a running stage.
func (b *broker) limit(stage, key string) any {
	b.t.Helper()
	return document(b.t, b.must("", "config", "get", "limits", stage, "--admin", b.admin, "--json"))["limits"].(map[string]any)[key]
}

// reloadable starts a broker with its own certificate, which issue renews.
func reloadable(t *testing.T) (b *broker, issue func()) {
	t.Helper()
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	own := t.TempDir()
	files, err := certs.Ensure(own, nil)
	if err != nil {
		t.Fatal(err)
	}
	issue = func() {
		if _, _, err := certs.Renew(own, files.Cert, files.Key, 0); err != nil {
			t.Error(err)
		}
	}
	text := fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
tcp_plaintext = "never"
[tls]
certificate_file = %q
key_file = %q
[wal]
capacity_bytes = 1073741824
upload_interval_ms = 600000
[stages.batch]
linger_us = 1000
target_bytes = 262144
max_bytes = 1048576
[stages.objectfetch]
workers = 8
[compaction]
paused = false
memory_bytes = 33554432
[retention]
check_interval_ms = 300000
[log]
level = "info"
[admin]
listen = %q
`, dir, addr, files.Cert, files.Key, admin)
	b = role(t, "broker", text, admin)
	b.dir, b.addr, b.text = dir, addr, text
	return b, issue
}

// SIGHUP applies settings that can change at runtime and logs those that need a restart. If the file
// is invalid, nothing changes.
func TestSIGHUPReloadsTheSettings(t *testing.T) {
	b, issue := reloadable(t)
	was := b.serial()
	b.rewrite("linger_us = 1000", "linger_us = 2000", "target_bytes = 262144", "target_bytes = 2097152", "max_bytes = 1048576", "max_bytes = 4194304",
		"workers = 8", "workers = 9", "paused = false", "paused = true", "check_interval_ms = 300000", "check_interval_ms = 200000",
		"upload_interval_ms = 600000", "upload_interval_ms = 500000", `level = "info"`, `level = "debug"`, "capacity_bytes = 1073741824", "capacity_bytes = 2147483648")
	issue()
	b.hup("applied")
	for _, x := range []struct {
		stage, key string
		want       float64
	}{
		{"write/batch", "linger_us", 2000}, {"write/batch", "target_bytes", 2 << 20}, {"write/batch", "max_bytes", 4 << 20}, {"read/objectfetch", "workers", 9},
		{"compact/compact", "paused", 1}, {"retain/plan", "check_interval_ms", 200_000}, {"upload/ledger", "interval_ms", 500_000},
	} {
		if got := b.limit(x.stage, x.key); got != x.want {
			t.Errorf("%s %s is %v, want %v", x.stage, x.key, got, x.want)
		}
	}
	until(t, b, "the new certificate", 10*time.Second, func() bool { return b.serial() != was })
	for _, want := range []string{"settings were reloaded", "stages.batch.linger_us 1000 -> 2000", "log.level info -> debug", "compaction.paused false -> true",
		"settings of the file take a restart", "settings=wal.capacity_bytes"} {
		b.logs(want)
	}
	if n := b.metric("sluice_config_restart_settings"); n != 1 {
		t.Errorf("%v settings take a restart", n)
	}
	until(t, b, "lines of the new level", 10*time.Second, func() bool {
		if c, err := net.Dial("tcp", b.addr); err == nil {
			c.Close() // a handshake that fails
		}
		return strings.Contains(b.log.String(), "level=DEBUG")
	})

	// A limit set by hand survives a reload that does not change it.
	b.must("", "config", "set", "limits", "write/batch", "eager_groups=7", "--admin", b.admin)
	for name, wrong := range map[string][]string{
		"unknown":                                {"linger_us = 2000", "linger_us = 3000\nlinger = 1"},
		"out of bounds":                          {"linger_us = 2000", "linger_us = 3000", "workers = 9", "workers = 0"},
		"more than the log that is in force has": {"linger_us = 2000", "linger_us = 3000", "upload_interval_ms = 500000", "upload_interval_ms = 500000\nupload_size_bytes = 1500000000"},
		"no TOML":                                {"linger_us = 2000", "linger_us = 3000", "[compaction]", "[compaction"},
	} {
		text := b.text
		b.rewrite(wrong...)
		b.hup("refused")
		if got := b.limit("write/batch", "linger_us"); got != 2000.0 {
			t.Errorf("%s: the linger is %v", name, got)
		}
		b.text = text
	}
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	b.hup("refused")
	if err := os.WriteFile(b.file, nil, 0o600); err != nil { // as if it were being rewritten
		t.Fatal(err)
	}
	b.hup("refused")
	if err := errors.Join(os.Remove(b.file), syscall.Mkfifo(b.file, 0o600)); err != nil { // without a writer
		t.Fatal(err)
	}
	b.hup("refused")
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	b.logs("settings were not reloaded; those in force stay")
	if text := b.log.String(); strings.Contains(text, `\n`) || !strings.Contains(text, "line ") {
		t.Errorf("the reasons are not on one line each, or without a place:\n%s", text)
	}
	b.rewrite("capacity_bytes = 2147483648", "capacity_bytes = 1073741824", `level = "debug"`, `level = "error"`)
	b.hup("applied")
	if got := b.limit("write/batch", "eager_groups"); got != 7.0 {
		t.Errorf("what was changed by hand is %v", got)
	}
	if n := b.metric("sluice_config_restart_settings"); n != 0 {
		t.Errorf("%v settings take a restart", n)
	}
	b.logs("log.level debug -> error") // logged although the new level is above the message's
	// A bad certificate is logged once, although both the reload and the file watcher notice it.
	cert := regexp.MustCompile(`certificate_file = "(.*)"`).FindStringSubmatch(b.text)[1]
	if err := os.WriteFile(cert, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.hup("applied")
	b.logs("TLS files were changed and cannot be used")
	until(t, b, "the rejected files are in the metric", 10*time.Second, func() bool { return b.metric("sluice_tls_files_rejected", `use="server"`) == 1 })
	b.stopsInTime()
	n := 0
	for line := range strings.Lines(b.log.String()) {
		if strings.Contains(line, "level=ERROR") && !strings.Contains(line, "settings were") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d errors for one fault:\n%s", n, b.log)
	}
}

// serial returns the serial number of the broker's certificate.
func (b *broker) serial() string {
	b.t.Helper()
	c, err := tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // whose it is does not matter here
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// SIGHUP to a controller changes its log level, and logs the settings that need a restart.
func TestSIGHUPReloadsAController(t *testing.T) {
	dir, admin := t.TempDir(), freePort(t)
	text := fmt.Sprintf("[controller]\ndata_directory = %q\nshutdown_grace_ms = 5000\n[log]\nlevel = \"info\"\n[admin]\nlisten = %q\n", dir, admin)
	b := role(t, "controller", text, admin)
	b.text = text
	b.rewrite(`level = "info"`, `level = "debug"`, "shutdown_grace_ms = 5000", "shutdown_grace_ms = 6000")
	b.hup("applied")
	b.rewrite(`level = "debug"`, `level = "loud"`)
	b.hup("refused")
	for _, want := range []string{"log.level info -> debug", "settings=controller.shutdown_grace_ms", "settings were not reloaded"} {
		b.logs(want)
	}
	b.stopsInTime()
}
