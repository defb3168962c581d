package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// secured starts a broker with TLS on both listeners, using the files in a directory.
func secured(t *testing.T, folder, more string) *broker {
	t.Helper()
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
tcp_plaintext = "never"
[admin]
listen = %q
[tls]
generate = false
certificate_file = %q
key_file = %q
%s
`, dir, addr, addr, admin, filepath.Join(folder, "broker.crt"), filepath.Join(folder, "broker.key"), more), admin)
	b.dir, b.addr = dir, addr
	return b
}

// greet makes a TLS handshake over a transport and returns its state. It also waits for a response,
// since with TLS 1.3 a server refuses a client's certificate only after the handshake.
func greet(t *testing.T, b *broker, transport string, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c = c.Clone()
	c.ServerName = "localhost"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if transport == "quic" {
		qc, err := quic.DialAddr(ctx, b.addr, quicnet.TLS(c), quicnet.ClientConfig().Client())
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer qc.CloseWithError(0, "")
		s, err := qc.OpenStreamSync(ctx)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		_ = s.SetReadDeadline(time.Now().Add(20 * time.Second))
		return qc.ConnectionState().TLS, apiVersions(s)
	}
	nc, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", b.addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer nc.Close()
	_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	return nc.(*tls.Conn).ConnectionState(), apiVersions(nc)
}

// apiVersions sends an ApiVersions request of version 0 and reads from the response.
func apiVersions(rw interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
}) error {
	if _, err := rw.Write([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff}); err != nil {
		return err
	}
	_, err := rw.Read(make([]byte, 64))
	return err
}

// eventually waits at most 30 s until so returns true.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func replaceFile(t *testing.T, file, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(file+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A certificate is replaced without its key while the broker runs. Both listeners keep using the
// last valid pair, the log says so once, and a metric reports it. A matching pair is then loaded.
// Another metric has the expiry time of the certificate in use.
func TestHalfSwappedCertificate(t *testing.T) {
	folder, next := t.TempDir(), t.TempDir()
	files, err := certs.Ensure(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.Ensure(next, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := secured(t, folder, "")
	pool, err := certs.ClientConfig(files.CA, "", "")
	if err != nil {
		t.Fatal(err)
	}
	newPool, err := certs.ClientConfig(other.CA, "", "")
	if err != nil {
		t.Fatal(err)
	}
	serials := func(c *tls.Config) (all []*big.Int) {
		t.Helper()
		for _, transport := range []string{"tls", "quic"} {
			state, err := greet(t, b, transport, c)
			if err != nil {
				t.Fatalf("%s: %v", transport, err)
			}
			all = append(all, state.PeerCertificates[0].SerialNumber)
			if ends := b.metric("sluice_tls_certificate_expiry_timestamp_seconds", `use="server"`); ends != float64(state.PeerCertificates[0].NotAfter.Unix()) {
				t.Errorf("the metric says that it ends at %v", ends)
			}
		}
		return all
	}
	before := serials(pool)
	replaceFile(t, filepath.Join(folder, "broker.crt"), other.Cert)
	eventually(t, "the half swapped pair is in the metric", func() bool { return b.metric("sluice_tls_files_rejected", `use="server"`) == 1 })
	for range 5 {
		for i, s := range serials(pool) {
			if s.Cmp(before[i]) != 0 {
				t.Error("another certificate is served")
			}
		}
	}
	const says = "TLS files were changed and cannot be used"
	b.logs(says)
	if n := strings.Count(b.log.String(), says); n != 1 {
		t.Errorf("it is said %d times", n)
	}
	replaceFile(t, filepath.Join(folder, "broker.key"), other.Key)
	eventually(t, "the pair is taken up", func() bool { return b.metric("sluice_tls_reloads_total", `outcome="applied"`) == 1 })
	for i, s := range serials(newPool) {
		if s.Cmp(before[i]) == 0 {
			t.Error("the old certificate is served")
		}
	}
	if v := b.metric("sluice_tls_files_rejected"); v != 0 {
		t.Errorf("sluice_tls_files_rejected is %v", v)
	}
}

// Both listeners verify clients against the CAs that are in the file at the time.
func TestClientCAsChangeWhileTheBrokerRuns(t *testing.T) {
	folder, next := t.TempDir(), t.TempDir()
	var clients []*tls.Config
	var files certs.Files
	for _, dir := range []string{folder, next} {
		f, err := certs.Ensure(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		own, err := certs.Issue(dir, "app", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		c, err := certs.ClientConfig(filepath.Join(folder, "ca.crt"), own.Cert, own.Key)
		if err != nil {
			t.Fatal(err)
		}
		clients, files = append(clients, c), f
	}
	ca := filepath.Join(folder, "clients.crt")
	replaceFile(t, ca, filepath.Join(folder, "ca.crt"))
	b := secured(t, folder, fmt.Sprintf("client_ca_file = %q\nclient_auth = \"required\"", ca))
	check := func(in ...bool) {
		t.Helper()
		for i, c := range clients {
			for _, transport := range []string{"tls", "quic"} {
				if _, err := greet(t, b, transport, c); (err == nil) != in[i] {
					t.Errorf("%s: client %d: %v", transport, i, err)
				}
			}
		}
	}
	check(true, false)
	replaceFile(t, ca, files.CA)
	eventually(t, "the new CAs are in use", func() bool { return b.metric("sluice_tls_reloads_total", `use="client_ca"`, `outcome="applied"`) == 1 })
	check(false, true)
}

// TLS 1.2 is accepted over TCP only if tls.min_version allows it.
func TestTLS12IsRefusedUnlessASettingSaysOtherwise(t *testing.T) {
	folder := t.TempDir()
	files, err := certs.Ensure(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	old, err := certs.ClientConfig(files.CA, "", "")
	if err != nil {
		t.Fatal(err)
	}
	old.MaxVersion = tls.VersionTLS12
	for more, in := range map[string]bool{"": false, `min_version = "1.3"`: false, `min_version = "1.2"`: true} {
		t.Run(more, func(t *testing.T) {
			b := secured(t, folder, more)
			state, err := greet(t, b, "tls", old)
			if (err == nil) != in || in && state.Version != tls.VersionTLS12 || !in && !strings.Contains(err.Error(), "protocol version") {
				t.Errorf("a client with TLS 1.2: %v", err)
			}
			now := old.Clone()
			now.MaxVersion = 0
			if state, err := greet(t, b, "tls", now); err != nil || state.Version != tls.VersionTLS13 {
				t.Errorf("a client of today: %v", err)
			}
		})
	}
}
