package e2e

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// longPolls opens a number of connections from an address, each of which sends a number of fetches
// that wait up to five minutes for more data than there will be. Responses are discarded.
func (b *broker) longPolls(addr, topic string, conns, each int) {
	b.t.Helper()
	r := kmsg.NewPtrFetchRequest()
	r.SetVersion(11)
	r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionEpoch = -1, 300_000, 1<<30, 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes, p.CurrentLeaderEpoch = 1<<20, -1
	r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	frame := requestFrame(r)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: 10 * time.Second}
	for range conns {
		nc, err := from.Dial("tcp", b.addr)
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { nc.Close() })
		go func() {
			for range each {
				if _, err := nc.Write(frame); err != nil {
					return
				}
			}
		}()
		go func() { _, _ = io.Copy(io.Discard, nc) }()
	}
}

// Long polls without data do not delay other clients, even when there are more of them than the
// memory limit allows, from one address or from many.
func TestLongPollsHoldNobodyUp(t *testing.T) {
	b := newBroker(t)
	b.createTopic("others", 1)
	b.createTopic("quiet", 1)
	b.longPolls("127.0.0.1", "quiet", 40, 256)
	until(t, b, "there are more than there is room for", time.Minute, func() bool { return b.metric("sluice_fetch_answered_early_total") > 0 })
	others(t, b, 2*time.Second)
	for i := range 8 {
		b.longPolls(fmt.Sprintf("127.0.0.%d", 2+i), "quiet", 10, 256)
	}
	others(t, b, 3*time.Second)
	used, limit := b.metric("sluice_memory_bytes", `use="requests"`), b.metric("sluice_memory_limit_bytes", `use="requests"`)
	if used > limit/8 {
		t.Errorf("%v bytes of %v are held by requests", used, limit)
	}
	if n := b.metric("sluice_request_budget_used_bytes", `class="other"`); n > limit/64 {
		t.Errorf("%v bytes of the budget of others are held while all that is outstanding are long polls", n)
	}
}

// Appends do not cause scans of waiting fetches on the same topic that need far more data.
func TestAppendsBesideLongPollsThatMissMuch(t *testing.T) {
	b := newBroker(t)
	b.createTopic("others", 1)
	const polls = 16 * 256
	b.longPolls("127.0.0.3", "others", 16, 256)
	until(t, b, "they wait", time.Minute, func() bool { return b.metric("sluice_fetch_waiting") >= polls })
	looks, produced := b.metric("sluice_fetch_scans_total"), b.metric("sluice_requests_total", `api="Produce"`)
	others(t, b, 3*time.Second)
	looks, produced = b.metric("sluice_fetch_scans_total")-looks, b.metric("sluice_requests_total", `api="Produce"`)-produced
	t.Logf("%v looks beside %v produce requests and %d fetches that wait", looks, produced, polls)
	if produced < 5 || looks > 20*produced+polls/2 {
		t.Errorf("%v looks beside %v produce requests; each of %d fetches waits for 1 MiB", looks, produced, polls)
	}
}

// Group members that wait for a rebalance hold no resources that other requests need.
func TestJoinsThatWaitHoldNobodyUp(t *testing.T) {
	const conns, each = 20, 200
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
[admin]
listen = %q
[groups]
initial_rebalance_delay_ms = 120000
`, dir, addr, admin), admin)
	b.dir, b.addr = dir, addr
	b.must("", "topic", "create", "others", "--transport", "tcp")
	for c := range conns {
		nc := attacker(t, b)
		go func() {
			for i := range each {
				r := kmsg.NewPtrJoinGroupRequest()
				r.SetVersion(3) // the last version that joins without a member ID
				r.Group, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = fmt.Sprintf("g-%d-%d", c, i), 30_000, 300_000, "consumer"
				r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: make([]byte, 100)}}
				if _, err := nc.Write(requestFrame(r)); err != nil {
					return
				}
			}
		}()
	}
	until(t, b, "all wait", time.Minute, func() bool { return b.metric("sluice_groups") >= conns*each })
	if n := b.metric("sluice_request_budget_used_bytes", `class="other"`); n > conns*each*1024/4 {
		t.Errorf("%v bytes of the budget of requests are held by %d members that wait", n, conns*each)
	}
	if n := b.metric("sluice_requests_total", `api="JoinGroup"`); n != 0 {
		t.Errorf("%v do not wait any more", n)
	}
	others(t, b, 2*time.Second)
}
