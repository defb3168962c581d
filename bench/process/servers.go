package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sluicemq/sluice/internal/freeport"
)

// Sluice is a development node.
type Sluice struct {
	*Process
	Addr, Admin string
	CAFile      string
}

// StartSluice starts `sluice dev` from a binary, on an existing directory.
func StartSluice(ctx context.Context, binary, dir string, args ...string) (*Sluice, error) {
	addr, err := freeport.Address()
	admin, err2 := freeport.Address()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "sluice")
	p, err := start(ctx, command{name: "sluice", path: binary, dir: dir, ready: answers200("http://" + admin + "/readyz"),
		args: append([]string{"dev", "--data-dir", data, "--listen", addr, "--admin", admin}, args...)})
	if err != nil {
		return nil, err
	}
	return &Sluice{Process: p, Addr: addr, Admin: admin, CAFile: filepath.Join(data, "tls", "ca.crt")}, nil
}

// JetStream is a NATS server with file storage.
type JetStream struct {
	*Process
	Addr string
}

// jetstreamConfig keeps the server's defaults for everything that affects speed or durability,
// except sync_interval.
const jetstreamConfig = `listen: %q
http: %q
jetstream {
  store_dir: %q
  max_file_store: 64GB
  max_memory_store: 1GB
  %s
}
`

// StartJetStream starts a nats-server binary. With sync, each write is synced before its
// acknowledgement; the default is every two minutes.
func StartJetStream(ctx context.Context, binary, dir string, sync bool) (*JetStream, error) {
	addr, err := freeport.Address()
	monitor, err2 := freeport.Address()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	mode := ""
	if sync {
		mode = "sync_interval: always"
	}
	conf := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf(jetstreamConfig, addr, monitor, filepath.Join(dir, "jetstream"), mode)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := start(ctx, command{name: "jetstream", path: binary, dir: dir, args: []string{"-c", conf},
		ready: answers200("http://" + monitor + "/healthz")})
	if err != nil {
		return nil, err
	}
	return &JetStream{Process: p, Addr: addr}, nil
}

// BuildJetStream builds the server from the module that go.mod pins, into dir.
func BuildJetStream(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "nats-server")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/nats-io/nats-server/v2")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server (run slbench in the bench directory, or give -nats-server): %w: %s", err, out)
	}
	return path, nil
}

// Echo is the QUIC echo server.
type Echo struct {
	*Process
	Addr, CAFile string
}

// StartEcho starts a binary with the command `echo-server`, that is slbench.
func StartEcho(ctx context.Context, binary, dir string) (*Echo, error) {
	addr, err := freeport.Address()
	health, err2 := freeport.Address()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "echo")
	p, err := start(ctx, command{name: "echo", path: binary, dir: dir, ready: answers200("http://" + health + "/healthz"),
		args: []string{"echo-server", "-listen", addr, "-health", health, "-dir", data}})
	if err != nil {
		return nil, err
	}
	return &Echo{Process: p, Addr: addr, CAFile: filepath.Join(data, "ca.crt")}, nil
}
