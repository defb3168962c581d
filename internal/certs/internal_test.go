package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var both = []Role{RoleBroker, RoleController}

// ring is an internal CA in a directory.
type ring struct {
	t   *testing.T
	dir string
}

func newRing(t *testing.T) ring {
	t.Helper()
	r := ring{t, t.TempDir()}
	if _, _, err := InitInternal(r.dir, "nodes", 0); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r ring) files(id int32, roles ...Role) InternalFiles {
	r.t.Helper()
	f, err := EnsureNode(r.dir, Node{id, roles})
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r ring) node(id int32, roles ...Role) *Internal {
	r.t.Helper()
	i, err := NewInternal(r.files(id, roles...), Node{id, roles}, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

func TestNodesKnowEachOther(t *testing.T) {
	r := newRing(t)
	controller, broker := r.node(1, RoleController), r.node(7, RoleBroker)
	server := controller.Server(RoleBroker, RoleController).Clone()
	server.NextProtos = []string{"test/1"}
	client := broker.Client(RoleController, 1).Clone()
	client.NextProtos = []string{"test/1"}
	state, clientErr, serverErr := handshake(t, server, client)
	if clientErr != nil || serverErr != nil {
		t.Fatalf("client: %v, server: %v", clientErr, serverErr)
	}
	if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "test/1" {
		t.Errorf("version %x, protocol %q", state.Version, state.NegotiatedProtocol)
	}
	if n, err := Peer(state); err != nil || n.ID != 1 || !n.Is(RoleController) || n.Is(RoleBroker) {
		t.Errorf("the client sees %v, %v", n, err)
	}
	if _, clientErr, serverErr = handshake(t, server, broker.Client(RoleController, Any)); serverErr != nil || clientErr != nil {
		t.Errorf("any controller: %v, %v", clientErr, serverErr)
	}
	whole := r.node(3, both...)
	if _, clientErr, serverErr = handshake(t, whole.Server(RoleBroker), whole.Client(RoleBroker, 3)); serverErr != nil || clientErr != nil {
		t.Errorf("a node of both roles: %v, %v", clientErr, serverErr)
	}
}

// What is not this cluster's node gets in nowhere, and is told so in one sentence.
func TestStrangersAmongNodes(t *testing.T) {
	r, other := newRing(t), newRing(t)
	server := r.node(1, RoleController)
	clients := mustInit(t, t.TempDir())
	mustIssue(t, filepath.Dir(clients.CA), Request{Name: "app", Client: true, Server: true, SANs: []string{"localhost"}}, filepath.Dir(clients.CA))
	clientFile := filepath.Join(filepath.Dir(clients.CA), "app")
	withClients, err := ClientConfig("", clientFile+".crt", clientFile+".key")
	if err != nil {
		t.Fatal(err)
	}
	withClients.InsecureSkipVerify = true
	naked := &tls.Config{InsecureSkipVerify: true}
	old := r.node(7, RoleBroker).Client(RoleController, 1)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, c := range map[string]struct {
		client *tls.Config
		server string // what the server says
	}{
		"without a certificate":            {naked, "client didn't provide a certificate"},
		"with that of a client":            {withClients, `its certificate "app" is none of the cluster's internal CA`},
		"of another cluster":               {strange(other.node(7, RoleBroker)), "is none of the cluster's internal CA"},
		"a broker where controllers speak": {r.node(7, RoleBroker).Client(RoleController, 1), "the certificate is of broker 7, but this port is for nodes that are a controller"},
		"with TLS 1.2":                     {old, "unsupported versions"},
	} {
		t.Run(name, func(t *testing.T) {
			_, clientErr, serverErr := handshake(t, server.Server(RoleController), c.client)
			if serverErr == nil || !strings.Contains(serverErr.Error(), c.server) {
				t.Errorf("the server says %v, not %q", serverErr, c.server)
			}
			if clientErr == nil {
				t.Error("the client sees no error")
			}
			if c.client != old && !errors.Is(Explain(clientErr), ErrPeerRefuses) {
				t.Errorf("the client's error is not explained: %v", Explain(clientErr))
			}
		})
	}
}

// strange returns the settings of a node that trusts everybody.
func strange(i *Internal) *tls.Config {
	c := i.Client(RoleController, Any)
	c.VerifyConnection = nil
	return c
}

func TestADialerKnowsWhomItHasReached(t *testing.T) {
	r, other := newRing(t), newRing(t)
	me := r.node(7, RoleBroker)
	for name, c := range map[string]struct {
		server, client *tls.Config
		want           string
	}{
		"another id":      {r.node(2, RoleController).Server(RoleBroker), me.Client(RoleController, 1), "controller 2 is at this address, not controller 1"},
		"another role":    {r.node(1, RoleBroker).Server(RoleBroker), me.Client(RoleController, 1), "broker 1 is at this address, which is no controller"},
		"another cluster": {trusting(other.node(1, RoleController)), me.Client(RoleController, 1), "none of the cluster's internal CA"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err, _ := handshake(t, c.server, c.client); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
}

func trusting(i *Internal) *tls.Config {
	c := i.Server(RoleBroker)
	c.VerifyConnection = nil
	return c
}

// Even where clients have the same CA, which only one from elsewhere can be for, neither certificate
// is good for the other's listener.
func TestClientsAndNodesAreApartUnderOneCA(t *testing.T) {
	r := newRing(t)
	now := time.Now()
	ca, err := loadInternal(r.dir, now)
	if err != nil {
		t.Fatal(err)
	}
	f := r.files(1, RoleBroker)
	req := Request{Name: "app", Client: true, Server: true, SANs: []string{"localhost"}}
	leaf, err := req.template(now)
	if err != nil {
		t.Fatal(err)
	}
	app := filepath.Join(r.dir, "app")
	if _, err := sign(ca, app+".crt", app+".key", leaf, create); err != nil {
		t.Fatal(err)
	}
	asClient, err := ClientConfig(f.CAFile, app+".crt", app+".key")
	if err != nil {
		t.Fatal(err)
	}
	asClient.InsecureSkipVerify = true
	if _, _, err := handshake(t, r.node(1, RoleBroker).Server(RoleBroker), asClient); err == nil || !strings.Contains(err.Error(), "is of no node, such as that of a client") {
		t.Errorf("a client at the nodes' listener: %v", err)
	}
	// A listener of clients with a CA that has signed a node's certificate and bears no mark.
	clients, err := newServer(ServerFiles{CertFile: app + ".crt", KeyFile: app + ".key", ClientCAFile: f.CAFile, ClientAuth: ClientAuthRequired}, slog.New(slog.DiscardHandler), time.Now)
	if err == nil || !strings.Contains(err.Error(), "is the internal CA of nodes") {
		t.Fatalf("the internal CA for clients: %v, %v", clients, err)
	}
	plain := mustInit(t, t.TempDir())
	unmarked, err := loadAuthority(filepath.Dir(plain.CA), now)
	if err != nil {
		t.Fatal(err)
	}
	node, err := Node{5, []Role{RoleBroker}}.template(0, now)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(filepath.Dir(plain.CA), "five")
	if _, err := sign(unmarked, at+".crt", at+".key", node, create); err != nil {
		t.Fatal(err)
	}
	server, err := ServerConfig(ServerFiles{CertFile: app + ".crt", KeyFile: app + ".key", ClientCAFile: plain.CA, ClientAuth: ClientAuthOptional})
	if err != nil {
		t.Fatal(err)
	}
	asNode, err := ClientConfig(f.CAFile, at+".crt", at+".key")
	if err != nil {
		t.Fatal(err)
	}
	asNode.ServerName = "localhost"
	if _, _, err := handshake(t, server, asNode); err == nil || !strings.Contains(err.Error(), "an internal one of a node") {
		t.Errorf("a node at the clients' listener: %v", err)
	}
}

func TestANodeDoesNotStartWithTheWrongCertificate(t *testing.T) {
	r, other := newRing(t), newRing(t)
	seven := r.files(7, RoleBroker)
	ended, err := loadInternal(r.dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := Node{8, []Role{RoleBroker}}.template(time.Nanosecond, time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	eight := nodeFiles(r.dir, Node{8, []Role{RoleBroker}}, r.dir)
	if _, err := sign(ended, eight.Cert, eight.Key, leaf, create); err != nil {
		t.Fatal(err)
	}
	clients := mustInit(t, t.TempDir())
	for name, c := range map[string]struct {
		files InternalFiles
		self  Node
		want  string
	}{
		"another id":            {seven, Node{8, []Role{RoleBroker}}, "is the certificate of broker 7, but this is broker 8; issue its own with `sluice cert issue --node 8 --role broker`"},
		"a role too few":        {seven, Node{7, both}, "is the certificate of broker 7, but this is broker and controller 7"},
		"another CA":            {InternalFiles{seven.CertFile, seven.KeyFile, other.files(1, RoleBroker).CAFile}, Node{7, []Role{RoleBroker}}, "other nodes would refuse the certificate"},
		"the clients' CA":       {InternalFiles{seven.CertFile, seven.KeyFile, clients.CA}, Node{7, []Role{RoleBroker}}, "other nodes would refuse the certificate"},
		"an ended one":          {InternalFiles{eight.Cert, eight.Key, eight.CA}, Node{8, []Role{RoleBroker}}, "expired"},
		"the key of another":    {InternalFiles{seven.CertFile, r.files(9, RoleBroker).KeyFile, seven.CAFile}, Node{7, []Role{RoleBroker}}, "private key does not match"},
		"no CA":                 {InternalFiles{seven.CertFile, seven.KeyFile, ""}, Node{7, []Role{RoleBroker}}, "need a certificate, its key and the internal CA"},
		"a file that is absent": {InternalFiles{seven.CertFile, seven.KeyFile, seven.CAFile + "x"}, Node{7, []Role{RoleBroker}}, "no such file"},
		"no role":               {seven, Node{7, nil}, "must have a role"},
	} {
		if _, err := NewInternal(c.files, c.self, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
}

// The CA of a running node is replaced in three steps; at each, what has changed is used at once and
// what would cut the node off is not.
func TestTheInternalCAIsReplacedWhileNodesRun(t *testing.T) {
	r, next := newRing(t), newRing(t)
	at, log := time.Now(), new(bytes.Buffer)
	f := r.files(1, RoleBroker)
	node, err := newInternal(f, Node{1, []Role{RoleBroker}}, slog.New(slog.NewTextHandler(log, nil)), func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	server, client := node.Server(RoleBroker), node.Client(RoleBroker, Any)
	before, fresh := r.node(3, RoleBroker), next.node(2, RoleBroker)
	meets := func() bool {
		at = at.Add(lookEvery)
		_, _, err := handshake(t, server, strange(fresh))
		_, err2, _ := handshake(t, trusting(fresh), client)
		if (err == nil) != (err2 == nil) {
			t.Errorf("as a server: %v, as a client: %v", err, err2)
		}
		return err == nil
	}
	write := func(path string, from ...string) {
		var text []byte
		for _, name := range from {
			text = append(text, contents(t, name)...)
		}
		if err := replace(file{path, 0o600, text}); err != nil {
			t.Fatal(err)
		}
	}
	if meets() {
		t.Fatal("a node of another CA is let in")
	}
	oldCA, newCA := filepath.Join(t.TempDir(), "old.crt"), next.files(2, RoleBroker).CAFile
	write(oldCA, f.CAFile)
	write(f.CAFile, newCA) // the last step first: its own certificate would be refused everywhere
	meets()
	if meets() || !strings.Contains(log.String(), "other nodes would refuse the certificate") || node.Status()[0].Rejected == nil {
		t.Errorf("a CA that has not signed the node's certificate is used:\n%s", log)
	}
	write(f.CAFile, oldCA, newCA)
	if !meets() || node.Status()[0].Rejected != nil {
		t.Errorf("with both CAs: %v\n%s", node.Status(), log)
	}
	own := next.files(1, RoleBroker)
	write(f.KeyFile, own.KeyFile)
	write(f.CertFile, own.CertFile)
	write(f.CAFile, newCA)
	if !meets() {
		t.Errorf("with the new CA alone:\n%s", log)
	}
	if _, _, err := handshake(t, server, strange(before)); err == nil {
		t.Error("a node of the old CA is still let in")
	}
}

func TestWhoseACertificateIs(t *testing.T) {
	for text, want := range map[string]string{
		"sluice://broker/7":                         "broker 7",
		"sluice://broker/7 sluice://controller/7":   "broker and controller 7",
		"sluice://broker/7 spiffe://example.org/x":  "broker 7",
		"sluice://broker/7 sluice://witness/9":      "broker 7",
		"sluice://broker/0":                         "broker 0",
		"":                                          "!of no node",
		"spiffe://example.org/broker/7":             "!of no node",
		"sluice://authority/internal":               "!of no node",
		"sluice://broker/7 sluice://controller/8":   "!of two nodes, 7 and 8",
		"sluice://broker/07":                        "!should be like sluice://broker/7",
		"sluice://broker/+7":                        "!should be like",
		"sluice://broker/-1":                        "!should be like",
		"sluice://broker/7/8":                       "!should be like",
		"sluice://broker":                           "!should be like",
		"sluice://broker/4294967303":                "!should be like",
		"sluice://broker/7?as=controller":           "!should be like",
		"sluice://admin@broker/7":                   "!should be like",
		"sluice://controller/7 sluice://broker/%37": "!should be like",
	} {
		c := new(x509.Certificate)
		for _, one := range strings.Fields(text) {
			u, err := url.Parse(one)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
		n, err := NodeOf(c)
		if wrong, isWrong := strings.CutPrefix(want, "!"); isWrong {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v, %v, not %q", text, n, err, wrong)
			}
		} else if err != nil || n.String() != want {
			t.Errorf("%s: %v, %v, not %s", text, n, err, want)
		}
	}
}

func TestCAsSignForTheirOwnSideOnly(t *testing.T) {
	r, out := newRing(t), t.TempDir()
	clients := filepath.Dir(mustInit(t, t.TempDir()).CA)
	seven := Node{7, []Role{RoleBroker}}
	if _, _, err := IssueNode(clients, seven, 0, out); err == nil || !strings.Contains(err.Error(), "sluice cert init --internal") {
		t.Errorf("a node of the clients' CA: %v", err)
	}
	if _, _, err := IssueFor(r.dir, Request{Name: "app", Client: true}, out); err == nil || !strings.Contains(err.Error(), "is the internal CA") {
		t.Errorf("a client of the internal CA: %v", err)
	}
	if _, _, err := IssueFor(clients, Request{Name: "app", Client: true, SANs: []string{"sluice://broker/7"}}, out); err == nil || !strings.Contains(err.Error(), "sluice cert issue --node") {
		t.Errorf("a client that is called like a node: %v", err)
	}
	for _, n := range []Node{{-1, both}, {1, nil}, {1, []Role{"admin"}}, {1, []Role{RoleBroker, RoleBroker}}} {
		if _, _, err := IssueNode(r.dir, n, 0, out); err == nil {
			t.Errorf("a certificate of %v", n)
		}
	}
	f, made, err := IssueNode(r.dir, seven, 0, out)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(f.Cert) != "broker-7.crt" || !slices.Equal(SANs(made), []string{"sluice://broker/7"}) {
		t.Errorf("%s with %v", f.Cert, SANs(made))
	}
	if info, err := os.Stat(f.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, _, err := IssueNode(r.dir, seven, 0, out); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("once more: %v", err)
	}
	if _, renewed, err := Renew(r.dir, f.Cert, f.Key, 0); err != nil || !slices.Equal(SANs(renewed), SANs(made)) {
		t.Errorf("renewed: %v", err)
	}
	if _, err := NewInternal(InternalFiles{f.Cert, f.Key, f.CA}, seven, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("used: %v", err)
	}
}

func TestEnsureNodeKeepsAndReplaces(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	one := func(n Node, at time.Time) string {
		t.Helper()
		f, err := ensureNode(dir, n, at)
		if err != nil {
			t.Fatal(err)
		}
		return contents(t, f.CertFile)
	}
	n := Node{1, both}
	first := one(n, now)
	ca := contents(t, In(dir).CA)
	if one(n, now.Add(time.Hour)) != first {
		t.Error("a good certificate was replaced")
	}
	if second := one(Node{2, both}, now); second == first {
		t.Error("two nodes have one certificate")
	}
	if one(n, now.Add(leafLife-renewBefore+time.Hour)) == first {
		t.Error("a certificate that ends soon was kept")
	}
	if contents(t, In(dir).CA) != ca {
		t.Error("the CA was replaced")
	}
}
