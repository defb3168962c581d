package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/certs"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

// made runs a sluice cert command with --json and returns the document it prints.
func made(t *testing.T, args ...string) map[string]any {
	t.Helper()
	return document(t, first(t, append(append([]string{"cert"}, args...), "--json")...))
}

// A new CA issues certificates to a broker and a client, which connect with client certificates
// required. The broker's certificate is renewed while it runs.
func TestCertificatesOfACluster(t *testing.T) {
	dir, tlsDir := filepath.Join(t.TempDir(), "certs"), t.TempDir()
	made(t, "init", "--dir", dir, "--name", "orders cluster")
	before := made(t, "issue", "broker", "--server", "--san", "localhost,127.0.0.1", "--dir", dir, "--out", tlsDir)
	app := made(t, "issue", "app", "--client", "--dir", dir)
	ca, cert, key := filepath.Join(dir, "ca.crt"), app["certificate"].(string), app["key"].(string)
	for _, k := range []string{filepath.Join(dir, "ca.key"), filepath.Join(tlsDir, "broker.key"), key} {
		if info, err := os.Stat(k); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", k, info.Mode(), err)
		}
	}
	b := secured(t, tlsDir, fmt.Sprintf("client_ca_file = %q\nclient_auth = \"required\"", ca))
	mine := []string{"--ca", ca, "--cert", cert, "--key", key}
	b.must("", append([]string{"topic", "create", "t", "--partitions", "1"}, mine...)...)
	b.must("over TCP\n", append([]string{"produce", "t", "--transport", "tls"}, mine...)...)
	settings, err := certs.ClientConfig(ca, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if got := kgoReads(t, b, settings); got != "over TCP" {
		t.Errorf("franz-go reads %q", got)
	}
	b.fails(1, "it wants one; give a certificate", "topic", "list", "--ca", ca)
	b.fails(1, "as one that wants TLS does; use --transport tls", "topic", "list", "--transport", "tcp")
	serials := func() (all []string) {
		for _, transport := range []string{"tls", "quic"} {
			state, err := greet(t, b, transport, settings)
			if err != nil {
				t.Fatalf("%s: %v", transport, err)
			}
			all = append(all, fmt.Sprintf("%x", state.PeerCertificates[0].SerialNumber.Bytes()))
		}
		return all
	}
	if now := serials(); now[0] != before["serial"] || now[1] != before["serial"] {
		t.Errorf("served are %v, issued was %v", now, before)
	}
	file := filepath.Join(tlsDir, "broker.crt")
	renewed := made(t, "renew", file, "--dir", dir)
	if renewed["old_serial"] != before["serial"] || fmt.Sprint(renewed["sans"]) != fmt.Sprint(before["sans"]) {
		t.Errorf("renewed is %v of %v", renewed, before)
	}
	eventually(t, "the new certificate is served", func() bool {
		now := serials()
		return now[0] == renewed["serial"] && now[1] == renewed["serial"]
	})
	if b.metric("sluice_tls_files_rejected") != 0 || strings.Contains(b.log.String(), "cannot be used") {
		t.Errorf("renewing it was taken for a mistake:\n%s", b.log)
	}
	b.must("", append([]string{"consume", "t"}, mine...)...)
	shown := made(t, "show", file, "--ca", ca)
	if shown["serial"] != renewed["serial"] || shown["key_matches"] != true || shown["chain_verified"] != true {
		t.Errorf("shown is %v", shown)
	}
}

// A file of several CA certificates is a list, not a chain: each stands alone. A certificate that
// signed the one before it is part of its chain.
func TestCertShowOfSeveralAuthorities(t *testing.T) {
	dir := t.TempDir()
	var all []byte
	for _, name := range []string{"one", "two"} {
		made(t, "init", "--dir", filepath.Join(dir, name), "--name", name)
		text, err := os.ReadFile(filepath.Join(dir, name, "ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	both := filepath.Join(dir, "both.crt")
	if err := os.WriteFile(both, all, 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := alone(t, "cert", "show", both)
	if code != 0 || strings.Contains(out, "that of another") || strings.Contains(out, "the first certificate") || strings.Count(out, "not looked at: no ca.crt") != 2 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if out, errs, code := alone(t, "cert", "show", both, "--ca", both); code != 0 || strings.Count(out, "signed by an authority in") != 2 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	made(t, "issue", "b", "--server", "--san", "localhost", "--dir", filepath.Join(dir, "one"), "--out", dir)
	leaf, err := os.ReadFile(filepath.Join(dir, "b.crt"))
	if err != nil {
		t.Fatal(err)
	}
	chain := filepath.Join(dir, "chain.crt")
	if err := os.WriteFile(chain, append(leaf, all...), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code = alone(t, "cert", "show", chain, "--key", filepath.Join(dir, "b.key"))
	if code != 0 || strings.Count(out, "see the first certificate of the file") != 1 || strings.Count(out, "not looked at: no ca.crt") != 2 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// kgoReads reads one record of topic t with plain franz-go over TLS, without the SDK.
func kgoReads(t *testing.T, b *broker, settings *tls.Config) string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.DialTLSConfig(settings), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	fs := cl.PollRecords(deadline(t), 1)
	if err := fs.Err0(); err != nil || fs.NumRecords() != 1 {
		t.Fatalf("poll: %d records, %v", fs.NumRecords(), err)
	}
	return string(fs.Records()[0].Value)
}

// Clients fail promptly with a clear error if the certificate does not cover the advertised
// address, even when it covers the bootstrap address.
func TestAnAdvertisedAddressThatIsNotInTheCertificate(t *testing.T) {
	dir := t.TempDir()
	made(t, "init", "--dir", dir)
	made(t, "issue", "broker", "--server", "--san", "localhost", "--dir", dir)
	b := secured(t, dir, "")
	_, port, err := net.SplitHostPort(b.addr)
	if err != nil {
		t.Fatal(err)
	}
	told := b.addr
	b.addr = net.JoinHostPort("localhost", port)
	ca := filepath.Join(dir, "ca.crt")
	opts, err := sluice.ClientOpts(sluice.Config{Brokers: []string{b.addr}, CAFile: ca, ServerName: "localhost"}) // the CLI has no such override
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(deadline(t), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"produce", "t"}, {"consume", "t"}, {"topic", "create", "other", "--partitions", "1"}} {
		began := time.Now()
		_, errs, code := b.sluice("x\n", append(args, "--ca", ca)...)
		if code != 1 || !strings.Contains(errs, told) || !strings.Contains(errs, "the broker is not trusted") {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("%v took %v to know", args, d)
		}
	}
}

// cert reports what is wrong with files and arguments, and exits with 1 or 2.
func TestCertShowAndWhatIsRefused(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	made(t, "init", "--dir", dir)
	made(t, "issue", "a", "--client", "--dir", dir)
	made(t, "issue", "b", "--server", "--san", "b.example.org", "--dir", dir)
	out, errs, code := alone(t, "cert", "show", in("a.crt"), in("b.crt"), in("ca.crt"))
	if code != 0 || !strings.Contains(out, "b.example.org") || strings.Count(out, "signed by an authority in "+in("ca.crt")) != 3 || !strings.Contains(out, in("a.key")+" fits") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	other := t.TempDir()
	made(t, "init", "--dir", other)
	half := t.TempDir()
	made(t, "init", "--dir", half)
	if err := os.Remove(filepath.Join(half, "ca.key")); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"ca.crt exists":                {"init", "--dir", dir},
		"a.key exists":                 {"issue", "a", "--client", "--dir", dir},
		"there is no authority in":     {"issue", "c", "--client", "--dir", t.TempDir()},
		"private key does not match":   {"show", in("a.crt"), "--key", in("b.key")},
		"unknown authority":            {"show", in("a.crt"), "--ca", filepath.Join(other, "ca.crt")},
		"is a private key":             {"show", in("a.key")},
		"no such file":                 {"show", in("z.crt")},
		"was not signed by the author": {"renew", in("a.crt"), "--dir", other},
		"leave the port out":           {"issue", "c", "--server", "--san", "c.example.org:9092", "--dir", dir},
		"looks like an IP address":     {"issue", "c", "--server", "--san", "256.1.1.1", "--dir", dir},
		"first part of a name alone":   {"issue", "c", "--server", "--san", "c.*.example.org", "--dir", dir},
		"ca.key is not":                {"issue", "c", "--client", "--dir", half},
		"half of an authority":         {"init", "--dir", half},
	} {
		if _, errs, code := alone(t, append([]string{"cert"}, args...)...); code != 1 || !strings.Contains(errs, says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("sluice cert %s: exit %d: %s", strings.Join(args, " "), code, errs)
		}
	}
	for says, args := range map[string][]string{
		"--server, --client, or both": {"issue", "c", "--dir", dir},
		"--san HOST":                  {"issue", "c", "--server", "--dir", dir},
		"--days must be":              {"issue", "c", "--client", "--days", "-1", "--dir", dir},
		"from 1 to 36500":             {"issue", "c", "--client", "--days", "0", "--dir", dir},
		"--days must be from 1":       {"renew", in("a.crt"), "--days", "0"},
		"needs one of init, issue":    {},
	} {
		if _, errs, code := alone(t, append([]string{"cert"}, args...)...); code != 2 || !strings.Contains(errs, says) {
			t.Errorf("sluice cert %s: exit %d: %s", strings.Join(args, " "), code, errs)
		}
	}
	if _, errs, code := alone(t, "cert", "init", "--days", "0", "--dir", t.TempDir()); code != 2 || !strings.Contains(errs, "--days") {
		t.Errorf("cert init --days 0: exit %d: %s", code, errs)
	}
}
