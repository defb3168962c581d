package e2e

import (
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// More clients than the process may have open files: those within the limit are served, the
// broker goes on writing and uploading, and there is room again once some have gone.
func TestMoreClientsThanOpenFiles(t *testing.T) {
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
