package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/blockfs"
)

const anyPort = "127.0.0.1:0"

// devFails runs `sluice dev`, which must exit with code 1. The last line that it prints must be an
// error message that contains want.
func devFails(t *testing.T, want string, args ...string) {
	t.Helper()
	out, errs, code := alone(t, append([]string{"dev"}, args...)...)
	if why := last(errs); code != 1 || !strings.HasPrefix(why, "sluice: ") || !strings.Contains(why, want) {
		t.Errorf("sluice dev %s: exit %d, want %q\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
	if strings.Contains(errs, "goroutine ") {
		t.Errorf("it crashed:\n%s", errs)
	}
}

func TestPortsInUse(t *testing.T) {
	addr, admin := freePort(t), freePort(t)
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	devFails(t, "in use", "--data-dir", t.TempDir(), "--listen", addr, "--admin", admin)
	tcp.Close()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	devFails(t, "in use", "--data-dir", t.TempDir(), "--listen", addr, "--admin", admin)
	udp.Close()
	other, err := net.Listen("tcp", admin)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	devFails(t, "in use", "--data-dir", t.TempDir(), "--listen", addr, "--admin", admin)
	devFails(t, "not one of this machine", "--data-dir", t.TempDir(), "--listen", "192.0.2.1:9092", "--admin", anyPort)
}

func TestADataDirectoryHasOneBroker(t *testing.T) {
	b := newBroker(t)
	devFails(t, "in use by another process", "--data-dir", b.dir, "--listen", anyPort, "--admin", anyPort)
	b.must("x\n", "produce", "t") // the first is not disturbed
}

func TestDataDirectoryThatIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	devFails(t, "data directory", "--data-dir", file, "--listen", anyPort, "--admin", anyPort)
	devFails(t, "data directory", "--data-dir", filepath.Join(file, "below"), "--listen", anyPort, "--admin", anyPort)
}

func TestReadOnlyDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ro")
	if err := os.Mkdir(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		dir = "/sys/sluice" // permissions do not stop root
	}
	devFails(t, dir, "--data-dir", dir, "--listen", anyPort, "--admin", anyPort)
}

// A disk without room for the first segment of the WAL.
func TestNoRoomForTheWAL(t *testing.T) {
	dir := t.TempDir()
	total, err := blockfs.TotalBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	const segment = 128 << 20 // the room that is left for one, if the disk were empty
	file := settings(t, fmt.Sprintf("[broker]\ndata_directory = %q\n[network]\nquic_listen = %q\ntcp_listen = %q\n"+
		"[wal]\nmin_free_bytes = %d\n[admin]\nlisten = %q\n", dir, anyPort, anyPort, min(total-segment, 1<<40), anyPort))
	_, errs, code := alone(t, "broker", "--config", file)
	if code != 1 || !strings.Contains(last(errs), "not enough disk space") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// last returns the last line of text.
func last(text string) string {
	text = strings.TrimSuffix(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func TestSettingsThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"[wal]\ncapacity = 3\n":                     "unknown key wal.capacity; the nearest known key is wal.capacity_bytes",
		"[network]\nquic_lisen = \"127.0.0.1:1\"\n": "the nearest known key is network.quic_listen",
		"[wal]\nsegment_size_bytes = \"128MiB\"\n":  "wal.segment_size_bytes must be a whole number",
		"[network]\ntcp_plaintext = true\n":         "network.tcp_plaintext must be a string",
		"[tls]\ngenerate = false\n":                 "there is no certificate",
		"[object_storage]\nurl = \"ftp://there\"\n": "object_storage.url must be like",
		"[replication]\nmin_in_sync_replicas = 2\n": "replication.min_in_sync_replicas (2) must not be above replication.default_factor (1)",
		"[broker\n":                   "is not TOML",
		"[stages.wal]\nworkers = 1\n": "unknown key stages.wal.workers",
	} {
		file := settings(t, text)
		_, errs, code := alone(t, "broker", "--config", file)
		if code != 1 || !strings.Contains(errs, want) || !strings.HasPrefix(errs, "sluice: "+file) {
			t.Errorf("%q: exit %d: %s", text, code, errs)
		}
	}
	if _, errs, code := alone(t, "broker"); code != 2 || !strings.Contains(errs, `"config" not set`) {
		t.Errorf("no file: exit %d: %s", code, errs)
	}
}

func TestNobodyAnswers(t *testing.T) {
	addr := freePort(t)
	for _, transport := range []string{"quic", "tcp", "tls"} {
		for _, args := range [][]string{{"topic", "list"}, {"produce", "t"}, {"consume", "t"}, {"group", "list"}, {"cluster", "status"}} {
			_, errs, code := alone(t, append(args, "--broker", addr, "--transport", transport, "--timeout", "3s")...)
			want := fmt.Sprintf("no broker answers at %s over %s", addr, transport)
			if code != 1 || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("%v over %s: exit %d: %s", args, transport, code, errs)
			}
		}
	}
}
