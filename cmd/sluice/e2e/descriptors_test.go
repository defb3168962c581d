package e2e

import (
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// More clients than the limit on open files allows: the broker serves those within the limit, goes on
// writing and uploading, and accepts new connections once some clients have disconnected.
func TestMoreClientsThanOpenFiles(t *testing.T) {
	b := brokerWithFewFiles(t)
	b.createTopic("t", 4)
	cl := b.client(kgo.DefaultProduceTopic("t"))
	produce := func() {
		t.Helper()
		if err := cl.ProduceSync(deadline(t), &kgo.Record{Value: make([]byte, 100_000)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce()
	var crowd []net.Conn
	for range 400 {
		nc, err := net.DialTimeout("tcp", b.addr, 5*time.Second)
		if err != nil {
			continue
		}
		crowd = append(crowd, nc)
	}
	for range 50 {
		produce()
	}
	b.hurry()
	if !strings.Contains(b.log.String(), "fewer TCP connections are accepted") {
		t.Errorf("it does not say so:\n%s", tail(b.log.String(), 3000))
	}
	for _, nc := range crowd {
		nc.Close()
	}
	within(t, 30*time.Second, "there is room again", func() bool {
		_, err := b.client(kgo.DefaultProduceTopic("t"), kgo.RecordDeliveryTimeout(2*time.Second)).ProduceSync(deadline(t), kgo.StringRecord("x")).First()
		return err == nil
	})
}

// brokerWithFewFiles starts a broker with a limit of 256 open files.
func brokerWithFewFiles(t *testing.T) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir(), addr: freePort(t), admin: freePort(t), log: &output{}}
	b.cmd = exec.Command("sh", "-c", `ulimit -n 256; exec "$0" "$@"`, binary, "dev", "--data-dir", b.dir, "--listen", b.addr, "--admin", b.admin)
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
	until(t, b, "it serves", time.Minute, func() bool { return strings.Contains(b.log.String(), "Sluice is up") })
	return b
}

// Idle connections to the admin server do not use up the open files that Kafka connections and
// uploads need.
func TestIdleAdminConnectionsLeaveOpenFiles(t *testing.T) {
	b := brokerWithFewFiles(t)
	b.createTopic("t", 4)
	for i := range 400 {
		nc, err := net.DialTimeout("tcp", b.admin, 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
		answer := make([]byte, len("HTTP/1.1 200"))
		if _, err = io.WriteString(nc, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err == nil {
			_, err = io.ReadFull(nc, answer)
		}
		if err != nil || string(answer) != "HTTP/1.1 200" {
			t.Fatalf("connection %d to the admin server: %q, %v", i, answer, err)
		}
	}
	for range 10 { // each client opens its own connections
		cl := b.client(kgo.DefaultProduceTopic("t"))
		if err := cl.ProduceSync(deadline(t), &kgo.Record{Value: make([]byte, 10_000)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	b.hurry()
	if strings.Contains(b.log.String(), "too many open files") {
		t.Errorf("it ran out of open files:\n%s", tail(b.log.String(), 3000))
	}
}
