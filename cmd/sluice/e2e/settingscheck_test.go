package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs"
)

// A wal.min_free_bytes above its maximum is refused by `config check`. One that the disk cannot provide
// is refused at start, before a segment is created.
func TestMoreFreeRoomThanTheDiskHas(t *testing.T) {
	dir := t.TempDir()
	total, err := blockfs.TotalBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := func(free int64) string {
		return fmt.Sprintf("[broker]\ndata_directory = %q\n[network]\nquic_listen = \"\"\ntcp_listen = \"127.0.0.1:0\"\n[wal]\nmin_free_bytes = %d\n[admin]\nlisten = \"\"\n", dir, free)
	}
	_, errs, code := alone(t, "config", "check", settings(t, text(1<<40+1)))
	if code != 1 || !strings.Contains(errs, "wal.min_free_bytes must be from 0 to 1099511627776") {
		t.Errorf("more than the largest: exit %d: %s", code, errs)
	}
	// A segment is twice as large as the rest.
	free, want := total-64<<20, "do not fit on the disk of "+filepath.Join(dir, "wal")
	if free > 1<<40 {
		want = "wal.min_free_bytes must be from"
	}
	_, errs, code = alone(t, "broker", "--config", settings(t, text(free)))
	if lines := strings.Split(strings.TrimSpace(errs), "\n"); code != 1 || !strings.Contains(lines[len(lines)-1], want) {
		t.Errorf("as much as the disk: exit %d: %s", code, errs)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "wal", "*.wal")); len(names) > 0 {
		t.Errorf("the check created %v", names)
	}
}

// Two TCP listeners on one port are refused before anything is opened. Settings that work but
// are probably a mistake cause a warning.
func TestConfigCheckLooksAtWholes(t *testing.T) {
	file := settings(t, "[network]\ntcp_listen = \"127.0.0.1:9642\"\nquic_listen = \"127.0.0.1:9642\"\n")
	_, errs, code := alone(t, "config", "check", file)
	if code != 1 || !strings.Contains(errs, "network.tcp_listen (127.0.0.1:9642) and admin.listen (127.0.0.1:9642) are the same TCP port") || strings.Contains(errs, "quic_listen") {
		t.Errorf("one port: exit %d: %s", code, errs)
	}
	dir := filepath.Join(t.TempDir(), "data")
	_, errs, code = alone(t, "dev", "--data-dir", dir, "--listen", "127.0.0.1:9642")
	if _, err := os.Stat(dir); code != 2 || !strings.Contains(errs, "are the same TCP port") || err == nil {
		t.Errorf("dev: exit %d, %v: %s", code, err, errs)
	}
	file = settings(t, fmt.Sprintf("[broker]\ndata_directory = %q\n[cache]\nwrite_cache_size_bytes = 1048576\n", dir))
	out, errs, code := alone(t, "config", "check", file)
	if code != 0 || !strings.Contains(out, "is valid for a broker") || !strings.Contains(errs, "cache.write_cache_size_bytes (1048576) is below wal.upload_size_bytes") {
		t.Errorf("a small cache: exit %d: %s%s", code, out, errs)
	}
	if d := document(t, first(t, "config", "check", file, "--json")); len(d["warnings"].([]any)) != 1 {
		t.Errorf("%v", d)
	}
}

// `config check` looks for the files named in the settings as a start would. It reports all problems at
// once and creates nothing.
func TestConfigCheckLooksForFiles(t *testing.T) {
	dir := t.TempDir()
	made(t, "init", "--dir", dir)
	made(t, "issue", "broker", "--server", "--san", "127.0.0.1", "--dir", dir)
	text := func(cert, key, data string) string {
		return settings(t, fmt.Sprintf("[broker]\ndata_directory = %q\n[tls]\ncertificate_file = %q\nkey_file = %q\n", data, filepath.Join(dir, cert), filepath.Join(dir, key)))
	}
	data := filepath.Join(dir, "data")
	if out, errs, code := alone(t, "config", "check", text("broker.crt", "broker.key", data)); code != 0 || errs != "" {
		t.Errorf("what is right: exit %d: %s%s", code, out, errs)
	}
	file := text("z.crt", "z.key", filepath.Join(dir, "broker.crt"))
	_, errs, code := alone(t, "config", "check", file)
	for _, says := range []string{file, "tls.certificate_file: open", "tls.key_file: open", "broker.data_directory: " + filepath.Join(dir, "broker.crt") + " is a file"} {
		if code != 1 || !strings.Contains(errs, says) {
			t.Errorf("exit %d, and it does not say %q: %s", code, says, errs)
		}
	}
	if _, errs, code := alone(t, "config", "check", "--text-only", file); code != 0 {
		t.Errorf("the text alone: exit %d: %s", code, errs)
	}
	if _, errs, code := alone(t, "config", "check", text("broker.crt", "ca.key", data)); code != 1 || !strings.Contains(errs, "private key does not match") {
		t.Errorf("another key: exit %d: %s", code, errs)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("it has made the data directory")
	}
}
