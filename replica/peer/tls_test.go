package peer

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/certs"
)

// authority is an internal CA.
type authority string

func newAuthority(t *testing.T) authority {
	t.Helper()
	dir := t.TempDir()
	if _, _, err := certs.InitInternal(dir, "nodes", 0); err != nil {
		t.Fatal(err)
	}
	return authority(dir)
}

// node has a broker use TLS, with the certificate of a node.
func (a authority) node(t *testing.T, id int32, roles ...certs.Role) func(*Options) {
	t.Helper()
	n := certs.Node{ID: id, Roles: roles}
	f, err := certs.EnsureNode(string(a), n)
	if err != nil {
		t.Fatal(err)
	}
	i, err := certs.NewInternal(f, n, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.TLS, o.Config.Plaintext = i, PlaintextNever }
}

// TestCertificates: who is accepted on the port for brokers, and what the others are told.
func TestCertificates(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	one := ours.node(t, 1, certs.RoleBroker)
	plain := func(*Options) {}
	for name, c := range map[string]struct {
		leader, follower func(*Options)
		says, leaderSays string // in the logs
	}{
		"brokers":                      {one, ours.node(t, 2, certs.RoleBroker), "", ""},
		"a broker that controls":       {one, ours.node(t, 2, certs.RoleBroker, certs.RoleController), "", ""},
		"only a controller":            {one, ours.node(t, 2, certs.RoleController), "refuses this node's certificate", "this port is for nodes that are a broker"},
		"another broker's certificate": {one, ours.node(t, 3, certs.RoleBroker), "the certificate of broker 3 was used by broker 2", "the certificate of broker 3 was used by broker 2"},
		"another authority":            {one, theirs.node(t, 2, certs.RoleBroker), "is none of the cluster's internal CA", "a connection to the port for brokers was refused"},
		"a leader with another's":      {ours.node(t, 4, certs.RoleBroker), ours.node(t, 2, certs.RoleBroker), "broker 4 is at this address, not broker 1", ""},
		"no TLS":                       {one, plain, "there is no stream to a broker", "first record does not look like a TLS handshake"},
		"TLS to a port without":        {plain, ours.node(t, 2, certs.RoleBroker), "first record does not look like a TLS handshake", ""},
	} {
		t.Run(name, func(t *testing.T) {
			leader, follower := newSide(t, 1, 1, c.leader), newSide(t, 2, 1, c.follower)
			leader.Update([]Broker{{ID: 2, Incarnation: 1}})
			follower.Update([]Broker{{ID: 1, Incarnation: 1, Address: leader.addr}})
			if c.says == "" {
				wait(t, "they are connected", func() bool { return follower.count("connected 1") == 1 })
				leader.give(leader.Peers, 2, 3, 100<<10)
				wait(t, "records arrive", func() bool { return follower.count("records 2 from 1") == 1 })
				return
			}
			wait(t, "the follower says "+c.says, func() bool { return follower.log.has(c.says) })
			wait(t, "the leader says "+c.leaderSays, func() bool { return leader.log.has(c.leaderSays) })
			if n := follower.count("connected 1"); n != 0 {
				t.Errorf("they were connected %d times", n)
			}
		})
	}
}

// TestAClientsCertificate: a client of the Kafka port is refused on that for brokers, whichever CA
// has signed its certificate.
func TestAClientsCertificate(t *testing.T) {
	ours := newAuthority(t)
	leader := newSide(t, 1, 1, ours.node(t, 1, certs.RoleBroker))
	kafka, err := certs.Ensure(t.TempDir(), []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := certs.Issue(strings.TrimSuffix(kafka.CA, "/ca.crt"), "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := certs.ClientConfig(string(ours)+"/ca.crt", client.Cert, client.Key)
	if err != nil {
		t.Fatal(err)
	}
	c.InsecureSkipVerify = true // as somebody who wants in
	r := dialTLS(t, leader, c, helloOf(2, 1).append(nil))
	if err := r.answered(); err == nil { // an alert of TLS, or a broken pipe if it was still writing
		t.Error("it was let in")
	}
	wait(t, "the log says it", func() bool { return leader.log.has(`its certificate \"app\" is none of the cluster's internal CA`) })
}

// TestPlaintextBeyondLoopback: records leave the machine without TLS only if the settings say so.
func TestPlaintextBeyondLoopback(t *testing.T) {
	for c, want := range map[Plaintext][]bool{ // for a loopback address, and another
		PlaintextLoopback: {true, false}, PlaintextNever: {false, false}, PlaintextEverywhere: {true, true},
	} {
		cfg := quick()
		cfg.Plaintext = c
		for i, addr := range []string{"127.0.0.1:9093", "10.1.2.3:9093"} {
			if err := cfg.plainTo(addr); (err == nil) != want[i] {
				t.Errorf("%s with plaintext = %q: %v", addr, c, err)
			}
		}
	}
	x := newSide(t, 2, 1)
	x.Update([]Broker{{ID: 1, Address: "192.0.2.1:9093"}})
	wait(t, "it says so", func() bool { return x.log.has("192.0.2.1:9093 would be used for replication without TLS") })
}
