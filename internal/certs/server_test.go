package certs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// follower is a server that watches files, on a fake clock.
type follower struct {
	*Server
	t     *testing.T
	dir   string
	files Files
	log   bytes.Buffer
	at    time.Time
}

func follow(t *testing.T, change func(*ServerFiles)) *follower {
	t.Helper()
	f := &follower{t: t, dir: t.TempDir(), at: time.Now()}
	f.files = mustEnsure(t, f.dir, f.at)
	s := ServerFiles{CertFile: f.files.Cert, KeyFile: f.files.Key}
	if change != nil {
		change(&s)
	}
	var err error
	if f.Server, err = newServer(s, slog.New(slog.NewTextHandler(&f.log, nil)), func() time.Time { return f.at }); err != nil {
		t.Fatal(err)
	}
	return f
}

// later advances the clock to the next check of the files.
func (f *follower) later() {
	f.at = f.at.Add(lookEvery)
	f.certificate()
}

func (f *follower) swap(file, from string) {
	f.t.Helper()
	tmp := file + ".new"
	if err := os.WriteFile(tmp, []byte(contents(f.t, from)), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(tmp, file); err != nil {
		f.t.Fatal(err)
	}
}

func (f *follower) errors() int { return strings.Count(f.log.String(), "level=ERROR") }

func TestAServerTakesUpANewCertificate(t *testing.T) {
	f := follow(t, nil)
	old := f.certificate()
	mustEnsure(t, f.dir, f.at, "new.example.org")
	if f.certificate() != old {
		t.Error("the files were looked at again at once")
	}
	f.later()
	renewed := f.certificate()
	if renewed == old || renewed.Leaf.VerifyHostname("new.example.org") != nil {
		t.Error("the new certificate was not taken up")
	}
	s := f.Status()[0]
	if s.Taken != 1 || s.Failed != 0 || s.Rejected != nil || !s.Ends.Equal(renewed.Leaf.NotAfter) || s.File != f.files.Cert {
		t.Errorf("status %+v", s)
	}
}

// When only the certificate or only the key is replaced, or one is garbage, the last good pair
// stays in use, and each change is logged once.
func TestHalfSwappedPairs(t *testing.T) {
	other := mustEnsure(t, t.TempDir(), time.Now())
	rubbish := filepath.Join(t.TempDir(), "rubbish")
	if err := os.WriteFile(rubbish, []byte("half a cert"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		harm func(f *follower)
		says string
	}{
		"a new certificate, the old key": {func(f *follower) { f.swap(f.files.Cert, other.Cert) }, "private key does not match"},
		"the old certificate, a new key": {func(f *follower) { f.swap(f.files.Key, other.Key) }, "private key does not match"},
		"a broken certificate":           {func(f *follower) { f.swap(f.files.Cert, rubbish) }, "failed to find any PEM data"},
		"no key":                         {func(f *follower) { os.Remove(f.files.Key) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, nil)
			old := f.certificate()
			c.harm(f)
			f.later()
			if f.errors() != 0 {
				t.Error("a pair that may be half replaced was rejected at the first look")
			}
			for range 5 {
				f.later()
			}
			if f.certificate() != old {
				t.Error("it has replaced a good certificate")
			}
			if s := f.Status()[0]; f.errors() != 1 || s.Failed != 1 || s.Rejected == nil || !strings.Contains(s.Rejected.Error(), c.says) || !s.Ends.Equal(old.Leaf.NotAfter) {
				t.Errorf("%d errors in the log, status %+v", f.errors(), s)
			}
			f.swap(f.files.Cert, rubbish) // a change
			f.later()
			f.later()
			f.later()
			if n := f.errors(); n != 2 {
				t.Errorf("%d errors in the log after a second change, want 2", n)
			}
			f.swap(f.files.Cert, other.Cert)
			f.swap(f.files.Key, other.Key)
			f.later()
			if s := f.Status()[0]; f.certificate() == old || s.Rejected != nil || s.Taken != 1 {
				t.Errorf("the right pair was not taken up: %+v", s)
			}
		})
	}
}

// A file that could not be read because of its mode is loaded once it can be, even if its contents
// have not changed since.
func TestAFileThatCannotBeReadYet(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	f := follow(t, nil)
	mustEnsure(t, f.dir, f.at, "new.example.org")
	if err := os.Chmod(f.files.Key, 0); err != nil {
		t.Fatal(err)
	}
	f.later()
	f.later()
	if f.errors() != 1 {
		t.Errorf("the log says %s", f.log.String())
	}
	if err := os.Chmod(f.files.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	f.later()
	if f.certificate().Leaf.VerifyHostname("new.example.org") != nil {
		t.Error("the certificate was not taken up")
	}
}

func TestReload(t *testing.T) {
	f := follow(t, nil)
	old := f.certificate()
	other := mustEnsure(t, t.TempDir(), f.at)
	f.swap(f.files.Cert, other.Cert)
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), f.files.Cert) || f.certificate() != old {
		t.Errorf("half a pair: %v", err)
	}
	if err := f.Reload(); err == nil || f.errors() != 2 || f.Status()[0].Failed != 1 {
		t.Errorf("again: %v, and %d errors in the log, %+v", err, f.errors(), f.Status()[0])
	}
	f.later()
	f.later()
	if f.errors() != 2 {
		t.Errorf("it is said unasked: %s", f.log.String())
	}
	f.swap(f.files.Key, other.Key)
	if err := f.Reload(); err != nil || f.certificate() == old {
		t.Errorf("the pair: %v", err)
	}
	if err := f.Reload(); err != nil || f.Status()[0].Taken != 1 {
		t.Errorf("nothing new: %v, %+v", err, f.Status())
	}
}

// An expired certificate does not replace a valid one.
func TestAnEndedCertificateIsNotTakenUp(t *testing.T) {
	f := follow(t, nil)
	old := f.certificate()
	ended := mustEnsure(t, t.TempDir(), f.at.Add(-leafLife-time.Hour))
	f.swap(f.files.Key, ended.Key)
	f.swap(f.files.Cert, ended.Cert)
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), "has ended on") || f.certificate() != old {
		t.Errorf("%v", err)
	}
}

func TestCertificatesThatEndSoonAreSaid(t *testing.T) {
	f := follow(t, nil)
	if f.log.Len() > 0 {
		t.Errorf("the log says %s", f.log.String())
	}
	ends := f.certificate().Leaf.NotAfter
	for _, c := range []struct {
		before time.Duration
		says   string
		lines  int
	}{{14 * 24 * time.Hour, "ends in 14 days", 1}, {13*24*time.Hour + time.Minute, "ends in 14 days", 1}, {13 * 24 * time.Hour, "ends in 13 days", 2}, {-time.Hour, "has ended", 3}} {
		f.at = ends.Add(-c.before)
		f.certificate()
		f.later()
		if text := f.log.String(); !strings.Contains(text, c.says) || strings.Count(text, "\n") != c.lines {
			t.Errorf("%v before: %s", c.before, text)
		}
	}
}

// A certificate that is not valid yet does not replace a valid one.
func TestACertificateOfTheFutureIsNotTakenUp(t *testing.T) {
	f := follow(t, nil)
	old := f.certificate()
	early := mustEnsure(t, t.TempDir(), f.at.Add(48*time.Hour))
	f.swap(f.files.Key, early.Key)
	f.swap(f.files.Cert, early.Cert)
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), "is not valid before") || f.certificate() != old {
		t.Errorf("it is taken up, or nothing is said: %v", err)
	}
}

// A certificate that no client would accept for a server does not replace one that clients accept.
// At startup it is used, with a warning.
func TestACertificateThatProvesNoServer(t *testing.T) {
	ca := t.TempDir()
	mustInit(t, ca)
	for says, r := range map[string]Request{"neither a DNS name": {Name: "x", Client: true}, "neither": {Name: "y", Client: true, SANs: []string{"spiffe://example.org/app", "a@example.org"}},
		"not for servers": {Name: "z", Client: true, SANs: []string{"127.0.0.1"}}} {
		f := follow(t, nil)
		if f.errors() > 0 || f.Unproven() != nil {
			t.Fatalf("a right one: %v, %s", f.Unproven(), f.log.String())
		}
		old := f.certificate()
		bad, _ := mustIssue(t, ca, r, t.TempDir())
		f.swap(f.files.Key, bad.Key)
		f.swap(f.files.Cert, bad.Cert)
		if err := f.Reload(); err == nil || !strings.Contains(err.Error(), says) || f.certificate() != old {
			t.Errorf("%s is taken up, or nothing is said: %v", r.Name, err)
		}
		var log bytes.Buffer
		s, err := NewServer(ServerFiles{CertFile: bad.Cert, KeyFile: bad.Key}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Unproven(); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(log.String(), says) {
			t.Errorf("at a start, %s: %v, %s", r.Name, err, log.String())
		}
	}
}

// A CA file that is truncated, or contains something else, is rejected.
func TestClientCAsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	f := mustEnsure(t, dir, time.Now())
	ca, leaf := contents(t, f.CA), contents(t, f.Cert)
	for name, text := range map[string]string{
		"nothing":                          "",
		"text":                             "none\n",
		"one that is cut off":              ca[:len(ca)/2],
		"a second that is cut off":         ca + ca[:len(ca)/2],
		"a first that is cut off":          ca[:len(ca)/2] + "\n" + ca,
		"a certificate that signs nothing": leaf,
		"an authority and such a one":      ca + leaf,
	} {
		file := filepath.Join(t.TempDir(), "ca.crt")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if all, err := readClientCAs(file); err == nil {
			t.Errorf("%s: %d authorities", name, len(all))
		}
	}
	file := filepath.Join(dir, "two.crt")
	if err := os.WriteFile(file, []byte("# ours\n"+ca+"# and again\n"+ca), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := readClientCAs(file); err != nil || len(all) != 2 {
		t.Errorf("two authorities: %d, %v", len(all), err)
	}
}

// Client certificates are verified against the CAs currently in the file, also for clients that
// connected before.
func TestClientCAsAreReadAgain(t *testing.T) {
	for name, auth := range map[string]ClientAuth{"required": ClientAuthRequired, "optional": ClientAuthOptional} {
		t.Run(name, func(t *testing.T) {
			first, second := t.TempDir(), t.TempDir()
			a, b := mustEnsure(t, first, time.Now()), mustEnsure(t, second, time.Now())
			clients := filepath.Join(t.TempDir(), "clients.crt")
			f := follow(t, func(s *ServerFiles) {
				if err := os.WriteFile(clients, []byte(contents(t, a.CA)), 0o600); err != nil {
					t.Fatal(err)
				}
				s.ClientAuth, s.ClientCAFile = auth, clients
			})
			settings := f.Config()
			var configs []*tls.Config
			for _, dir := range []string{first, second} {
				own, err := Issue(dir, "app", t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				c, err := ClientConfig(f.files.CA, own.Cert, own.Key)
				if err != nil {
					t.Fatal(err)
				}
				c.ServerName, c.ClientSessionCache = "localhost", tls.NewLRUClientSessionCache(4)
				configs = append(configs, c)
			}
			check := func(when string, want ...bool) {
				t.Helper()
				for i, c := range configs {
					state, clientErr, serverErr := handshake(t, settings.Clone(), c)
					if in := clientErr == nil && serverErr == nil; in != want[i] {
						t.Errorf("%s: client %d: %v, %v", when, i, clientErr, serverErr)
					}
					if state.DidResume {
						t.Errorf("%s: client %d has resumed a session", when, i)
					}
				}
			}
			check("first", true, false)
			check("first", true, false)
			f.swap(clients, b.CA)
			f.later()
			check("second", false, true)
			both := filepath.Join(t.TempDir(), "both")
			if err := os.WriteFile(both, []byte(contents(t, a.CA)+contents(t, b.CA)), 0o600); err != nil {
				t.Fatal(err)
			}
			f.swap(clients, both)
			f.later()
			check("both", true, true)
			os.Remove(clients)
			f.later()
			f.later()
			check("none", true, true)
			if s := f.Status()[1]; f.errors() != 1 || s.Use != UseClientCA || !errors.Is(s.Rejected, os.ErrNotExist) {
				t.Errorf("the log says %s, status %+v", f.log.String(), s)
			}
		})
	}
}

func TestWatchSaysItWithoutAHandshake(t *testing.T) {
	f := follow(t, nil)
	other := mustEnsure(t, t.TempDir(), f.at)
	f.swap(f.files.Cert, other.Cert)
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(ServerFiles{CertFile: other.Cert, KeyFile: other.Key}, f.Server.log)
		if err != nil {
			t.Fatal(err)
		}
		f.swap(other.Cert, f.files.CA)
		ctx := t.Context()
		go s.Watch(ctx)
		time.Sleep(2*lookEvery + lookEvery/2)
		synctest.Wait()
		if f.errors() != 1 {
			t.Errorf("the log says %s", f.log.String())
		}
	})
}

func TestOldVersionsOfTLS(t *testing.T) {
	f := mustEnsure(t, t.TempDir(), time.Now())
	for _, c := range []struct {
		least, client uint16
		in            bool
	}{{0, tls.VersionTLS12, false}, {0, tls.VersionTLS13, true}, {tls.VersionTLS13, tls.VersionTLS12, false},
		{tls.VersionTLS12, tls.VersionTLS12, true}, {tls.VersionTLS12, tls.VersionTLS11, false}, {tls.VersionTLS12, tls.VersionTLS13, true}} {
		for _, auth := range []ClientAuth{ClientAuthNone, ClientAuthOptional} {
			server, err := ServerConfig(ServerFiles{CertFile: f.Cert, KeyFile: f.Key, ClientCAFile: f.CA, ClientAuth: auth, MinVersion: c.least})
			if err != nil {
				t.Fatal(err)
			}
			client, err := ClientConfig(f.CA, "", "")
			if err != nil {
				t.Fatal(err)
			}
			client.ServerName, client.MinVersion, client.MaxVersion = "localhost", tls.VersionTLS10, c.client
			state, clientErr, serverErr := handshake(t, server, client)
			if in := clientErr == nil && serverErr == nil; in != c.in || in && state.Version != c.client {
				t.Errorf("a client with %s at a server from %s: %v, %v", tls.VersionName(c.client), tls.VersionName(c.least), clientErr, serverErr)
			}
		}
	}
}
