package e2e

import (
	"fmt"
	"testing"
)

// Defaults for replicated topics do not stop a node on its own, which has one replica at most.
func TestMinInSyncReplicasOfALoneNode(t *testing.T) {
	addr, admin := freePort(t), freePort(t)
	dir := t.TempDir()
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[admin]
listen = %q
[replication]
default_factor = 3
min_in_sync_replicas = 2
`, dir, addr, admin), admin)
	b.addr = addr
	tcp := []string{"--transport", "tcp"}
	b.must("", append(tcp, "topic", "create", "t")...)
	if got := b.must("", append(tcp, "config", "get", "topic", "t", "min.insync.replicas")...); got != "min.insync.replicas=2\n" {
		t.Errorf("%q", got)
	}
	b.must("one\n", append(tcp, "produce", "t")...)
	if got := b.must("", append(tcp, "consume", "t")...); got != "one\n" {
		t.Errorf("%q", got)
	}
}
