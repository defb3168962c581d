package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustEnsure(t *testing.T, dir string, now time.Time, hosts ...string) Files {
	t.Helper()
	f, err := ensure(dir, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func contents(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func leafOf(t *testing.T, f Files) *x509.Certificate {
	t.Helper()
	p, err := loadPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	return p.cert
}

func TestEnsureMakesAndReuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "tls")
	now := time.Now()
	f := mustEnsure(t, dir, now, "broker-1.example.org", "192.0.2.7", "0.0.0.0", "")
	leaf := leafOf(t, f)
	pool, err := Pool(f.CA)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"broker-1.example.org", "192.0.2.7", "localhost", "127.0.0.1", "::1"} {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s, usage %d: %v", host, usage, err)
			}
		}
	}
	if leaf.VerifyHostname("0.0.0.0") == nil {
		t.Error("the certificate names an address that nobody connects to")
	}
	for file, mode := range map[string]os.FileMode{f.CAKey: 0o600, f.Key: 0o600, f.CA: 0o644, f.Cert: 0o644} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v, %v", file, info.Mode(), mode, err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v", info.Mode(), err)
	}
	before := contents(t, f.Cert)
	mustEnsure(t, dir, now.Add(24*time.Hour), "192.0.2.7") // fewer names are no reason to replace it
	if contents(t, f.Cert) != before {
		t.Error("a good certificate was replaced")
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestEnsureRenewsTheBrokerCertificateOnly(t *testing.T) {
	now := time.Now()
	for name, again := range map[string]func(t *testing.T, f Files, dir string){
		"less than 30 days left": func(t *testing.T, _ Files, dir string) { mustEnsure(t, dir, now.Add(leafLife-29*24*time.Hour)) },
		"another name":           func(t *testing.T, _ Files, dir string) { mustEnsure(t, dir, now, "new.example.org") },
		"a crash between key and certificate": func(t *testing.T, f Files, dir string) {
			other := mustEnsure(t, t.TempDir(), now)
			if err := os.WriteFile(f.Key, []byte(contents(t, other.Key)), 0o600); err != nil {
				t.Fatal(err)
			}
			mustEnsure(t, dir, now)
		},
		"another authority": func(t *testing.T, f Files, dir string) {
			other := mustEnsure(t, t.TempDir(), now)
			for from, to := range map[string]string{other.Key: f.Key, other.Cert: f.Cert} {
				if err := os.WriteFile(to, []byte(contents(t, from)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			mustEnsure(t, dir, now)
		},
		"removed": func(t *testing.T, f Files, dir string) {
			if err := os.Remove(f.Cert); err != nil {
				t.Fatal(err)
			}
			mustEnsure(t, dir, now)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := mustEnsure(t, dir, now)
			ca, leaf := contents(t, f.CA), leafOf(t, f)
			again(t, f, dir)
			if contents(t, f.CA) != ca {
				t.Error("the authority changed: no client would trust the broker any more")
			}
			renewed := leafOf(t, f)
			if renewed.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
				t.Error("the certificate was not renewed")
			}
			authority, err := loadPair(f.CA, f.CAKey)
			if err != nil {
				t.Fatal(err)
			}
			if err := renewed.CheckSignatureFrom(authority.cert); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEnsureRefusesToGuess(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		harm func(t *testing.T, f Files)
		at   time.Time
		says string
	}{
		"the authority ended":        {func(*testing.T, Files) {}, now.Add(authorityLife + time.Hour), "remove"},
		"the authority lost its key": {func(t *testing.T, f Files) { os.Remove(f.CAKey) }, now, "restore"},
		"the authority is rubbish": {func(t *testing.T, f Files) {
			if err := os.WriteFile(f.CA, []byte("rubbish"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, now, "PEM"},
		"the key is rubbish": {func(t *testing.T, f Files) {
			if err := os.WriteFile(f.CAKey, []byte("rubbish"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, now, "PEM"},
		"the authority has another key": {func(t *testing.T, f Files) {
			if err := os.WriteFile(f.CAKey, []byte(contents(t, f.Key)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, now, "do not belong together"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f := mustEnsure(t, dir, now)
			c.harm(t, f)
			before, _ := os.ReadFile(f.CA)
			_, err := ensure(dir, nil, c.at)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v does not say %q and where", err, c.says)
			}
			if after, _ := os.ReadFile(f.CA); string(after) != string(before) {
				t.Error("the authority was touched")
			}
		})
	}
}

func TestEnsureInADirectoryThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(filepath.Join(file, "tls"), nil); err == nil || !strings.Contains(err.Error(), "choose another") {
		t.Errorf("%v", err)
	}
}

func TestIssue(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	mustEnsure(t, dir, time.Now())
	f, err := Issue(dir, "app-1", out)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := Pool(f.CA)
	if err != nil {
		t.Fatal(err)
	}
	leaf := leafOf(t, f)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool}); err == nil {
		t.Error("a client could pass for a broker")
	}
	if leaf.Subject.CommonName != "app-1" {
		t.Errorf("it names %q", leaf.Subject.CommonName)
	}
	if _, err := Issue(dir, "app-1", out); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second certificate of the name: %v", err)
	}
	for _, name := range []string{"", "..", "../app", "a/b", ".hidden"} {
		if _, err := Issue(dir, name, out); err == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
	if _, err := Issue(t.TempDir(), "app", out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without an authority: %v", err)
	}
}

// handshake connects a client to a server and returns the error of each side.
func handshake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		a.Close()
		done <- err
	}()
	_, clientErr = io.ReadFull(c, make([]byte, 1))
	serverErr = <-done
	return c.ConnectionState(), clientErr, serverErr
}

func TestConfigsMeet(t *testing.T) {
	dir := t.TempDir()
	f := mustEnsure(t, dir, time.Now())
	own, err := Issue(dir, "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		auth ClientAuth
		cert bool
		ok   bool
	}{{"", false, true}, {ClientAuthNone, false, true}, {ClientAuthOptional, false, true}, {ClientAuthOptional, true, true},
		{ClientAuthRequired, true, true}, {ClientAuthRequired, false, false}} {
		server, err := ServerConfig(ServerFiles{CertFile: f.Cert, KeyFile: f.Key, ClientCAFile: f.CA, ClientAuth: c.auth})
		if err != nil {
			t.Fatal(err)
		}
		cert, key := "", ""
		if c.cert {
			cert, key = own.Cert, own.Key
		}
		client, err := ClientConfig(f.CA, cert, key)
		if err != nil {
			t.Fatal(err)
		}
		client.ServerName = "localhost"
		state, clientErr, serverErr := handshake(t, server, client)
		if ok := clientErr == nil && serverErr == nil; ok != c.ok {
			t.Errorf("%q with a certificate %v: %v, %v", c.auth, c.cert, clientErr, serverErr)
		}
		if state.Version != tls.VersionTLS13 {
			t.Errorf("the version is %x", state.Version)
		}
	}
}

func TestConfigErrorsSayWhatToDo(t *testing.T) {
	f := mustEnsure(t, t.TempDir(), time.Now())
	server := func(s ServerFiles) error { _, err := ServerConfig(s); return err }
	client := func(ca, cert, key string) error { _, err := ClientConfig(ca, cert, key); return err }
	for says, err := range map[string]error{
		"version 1.2 or 1.3, not TLS 1.1": server(ServerFiles{CertFile: f.Cert, KeyFile: f.Key, MinVersion: tls.VersionTLS11}),
		"no client CA file is set":        server(ServerFiles{CertFile: f.Cert, KeyFile: f.Key, ClientAuth: ClientAuthRequired}),
		"use none, optional or requir":    server(ServerFiles{CertFile: f.Cert, KeyFile: f.Key, ClientAuth: "maybe"}),
		"both a certificate file":         server(ServerFiles{CertFile: f.Cert}),
		"no such file":                    server(ServerFiles{CertFile: f.Cert + "x", KeyFile: f.Key}),
		"set both files or none":          client(f.CA, f.Cert, ""),
		"ca.crt of its data directory":    client(f.CA+"x", "", ""),
		"has no certificate in PEM":       client(f.Key, "", ""),
		"private key does not match":      client(f.CA, f.CA, f.Key),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}
