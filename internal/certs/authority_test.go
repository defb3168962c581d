package certs

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func mustInit(t *testing.T, dir string) Files {
	t.Helper()
	f, _, err := Init(dir, "test authority", 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustIssue(t *testing.T, dir string, r Request, out string) (Files, *x509.Certificate) {
	t.Helper()
	f, made, err := IssueFor(dir, r, out)
	if err != nil {
		t.Fatal(err)
	}
	return f, made
}

func modeOf(t *testing.T, file string) os.FileMode {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestInitAndIssue(t *testing.T) {
	dir, out := filepath.Join(t.TempDir(), "ca"), filepath.Join(t.TempDir(), "out")
	f := mustInit(t, dir)
	if _, _, err := Init(dir, "another", 0); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second authority: %v", err)
	}
	names := []string{"broker-1.example.org", "*.example.net", "10.0.0.5", "2001:db8::1", "spiffe://example.org/broker", "ops@example.org", "10.0.0.5"}
	for name, r := range map[string]Request{
		"server": {Name: "server", Server: true, SANs: names},
		"client": {Name: "client", Client: true, Life: 48 * time.Hour},
		"both":   {Name: "both", Server: true, Client: true, SANs: names[:1]},
	} {
		f, made := mustIssue(t, dir, r, out)
		pool, err := Pool(f.CA)
		if err != nil {
			t.Fatal(err)
		}
		for usage, want := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageServerAuth: r.Server, x509.ExtKeyUsageClientAuth: r.Client} {
			if _, err := made.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); (err == nil) != want {
				t.Errorf("%s, usage %d: %v", name, usage, err)
			}
		}
		want := slices.Compact(slices.Sorted(slices.Values(r.SANs)))
		if got := slices.Sorted(slices.Values(SANs(made))); !slices.Equal(got, want) {
			t.Errorf("%s names %v, want %v", name, got, want)
		}
		if made.IsCA || made.Subject.CommonName != name || Match(f.Cert, f.Key) != nil || made.NotAfter.Sub(made.NotBefore) > leafLife+backdated {
			t.Errorf("%s: %v until %v", name, made.Subject, made.NotAfter)
		}
		if modeOf(t, f.Key) != 0o600 || modeOf(t, f.Cert) != 0o644 {
			t.Errorf("%s has modes %v and %v", name, modeOf(t, f.Key), modeOf(t, f.Cert))
		}
		before := contents(t, f.Key)
		if _, _, err := IssueFor(dir, r, out); err == nil || !strings.Contains(err.Error(), "exists") || contents(t, f.Key) != before {
			t.Errorf("%s again: %v", name, err)
		}
	}
	if modeOf(t, f.CAKey) != 0o600 || modeOf(t, dir) != 0o700 {
		t.Errorf("the authority has modes %v in %v", modeOf(t, f.CAKey), modeOf(t, dir))
	}
	if left, _ := filepath.Glob(filepath.Join(out, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// If the certificate or the key exists, it is not overwritten, and the other file is not created.
func TestIssueBesideOneFileOfTwo(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir)
	for _, there := range []string{"app.crt", "app.key"} {
		out := t.TempDir()
		if err := os.Symlink("/nowhere", filepath.Join(out, there)); err != nil { // even a dangling one
			t.Fatal(err)
		}
		if _, _, err := IssueFor(dir, Request{Name: "app", Client: true}, out); err == nil || !strings.Contains(err.Error(), there) {
			t.Errorf("%s is there: %v", there, err)
		}
		if all, _ := os.ReadDir(out); len(all) != 1 {
			t.Errorf("%s is there: %v", there, all)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir)
	for san, says := range map[string]string{"": "1 to 253", "a b": "not allowed", "host:9092": "port", "0.0.0.0": "nobody connects", "::": "nobody connects", "http://": "URI",
		"a@": "mail", "-a.example.org": "hyphen", "a..b": "1 to 63", strings.Repeat("a", 64): "1 to 63", "münchen.example": "xn--", "*.": "1 to 253", "a.*.org": "wildcard", "*": "wildcard", "*a.org": "wildcard", "256.1.1.1": "looks like", "1.2.3": "looks like", "010.0.0.1": "looks like", "::g": "looks like", "fe80::1%eth0": "looks like", "[::1]": "looks like", "[::1]:9092": "port", "*.1.2.3.4": "looks like", "host.0x7f": "looks like", "12": "looks like", "a.org b.org": "not allowed",
		strings.Repeat("a.", 130) + "a": "253"} {
		if _, _, err := IssueFor(dir, Request{Name: "x", Server: true, SANs: []string{san}}, dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("name %q: %v", san, err)
		}
	}
	for says, r := range map[string]Request{"server, a client": {Name: "x"}, "names and addresses": {Name: "x", Server: true}, "64 bytes": {Name: strings.Repeat("x", 65), Client: true},
		"control": {Name: "a\nb", Client: true}, "file name": {Name: "-x", Client: true}, "exists": {Name: "ca", Client: true}} {
		if _, _, err := IssueFor(dir, r, dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	leaf := t.TempDir() // has the files of a CA, but the certificate is not one
	f, _ := mustIssue(t, dir, Request{Name: "x", Client: true}, t.TempDir())
	for from, to := range map[string]string{f.Cert: In(leaf).CA, f.Key: In(leaf).CAKey} {
		if err := os.WriteFile(to, []byte(contents(t, from)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := IssueFor(leaf, Request{Name: "x", Client: true}, t.TempDir()); err == nil || !strings.Contains(err.Error(), "not the certificate of an authority") {
		t.Errorf("signed by a client: %v", err)
	}
	if _, err := loadAuthority(dir, time.Now().Add(authorityLife+time.Hour)); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("an authority that has ended: %v", err)
	}
}

func TestACertificateEndsWithItsAuthority(t *testing.T) {
	dir := t.TempDir()
	_, ca, err := Init(dir, "short", 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, made := mustIssue(t, dir, Request{Name: "x", Client: true}, dir); !made.NotAfter.Equal(ca.NotAfter) {
		t.Errorf("it ends on %v, the authority on %v", made.NotAfter, ca.NotAfter)
	}
}

func TestRenew(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir)
	r := Request{Name: "broker-1", Server: true, Client: true, SANs: []string{"broker-1.example.org", "10.0.0.5", "spiffe://example.org/b"}, Life: 90 * 24 * time.Hour}
	f, first := mustIssue(t, dir, r, t.TempDir())
	key := contents(t, f.Key)
	if err := os.Chmod(f.Key, 0o640); err != nil {
		t.Fatal(err)
	}
	old, made, err := Renew(dir, f.Cert, f.Key, 0)
	if err != nil {
		t.Fatal(err)
	}
	if old.SerialNumber.Cmp(first.SerialNumber) != 0 || made.SerialNumber.Cmp(old.SerialNumber) == 0 || contents(t, f.Key) == key {
		t.Error("serial number or key are those of before")
	}
	if !slices.Equal(SANs(made), SANs(first)) || !slices.Equal(made.ExtKeyUsage, first.ExtKeyUsage) || made.Subject.String() != first.Subject.String() {
		t.Errorf("it is for %v %v %v", made.Subject, SANs(made), made.ExtKeyUsage)
	}
	if d := made.NotAfter.Sub(first.NotAfter); d < 0 || d > time.Minute {
		t.Errorf("it lasts %v longer than the old one did", d)
	}
	if err := Match(f.Cert, f.Key); err != nil || leafOf(t, f).SerialNumber.Cmp(made.SerialNumber) != 0 {
		t.Errorf("what was written: %v", err)
	}
	if m := modeOf(t, f.Key); m != 0o640 {
		t.Errorf("the key has mode %v now", m)
	}
	if os.Getuid() == 0 { // only root can give files away
		if err := os.Chown(f.Key, 1234, 2345); err != nil {
			t.Fatal(err)
		}
	}
	owner := ownerOf(t, f.Key)
	if _, made, err = Renew(dir, f.Cert, f.Key, 24*time.Hour); err != nil || time.Until(made.NotAfter) > 25*time.Hour {
		t.Errorf("for a day: %v", err)
	}
	if now := ownerOf(t, f.Key); now != owner || modeOf(t, f.Key) != 0o640 {
		t.Errorf("the key belongs to %v, before to %v", now, owner)
	}
}

func ownerOf(t *testing.T, file string) [2]uint32 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	return [2]uint32{s.Uid, s.Gid}
}

// If only half of a pair was replaced, or the key is gone, renewing repairs it.
func TestRenewMendsAHalfSwappedPair(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir)
	f, _ := mustIssue(t, dir, Request{Name: "a", Client: true}, dir)
	other, _ := mustIssue(t, dir, Request{Name: "b", Client: true}, dir)
	if err := os.WriteFile(f.Key, []byte(contents(t, other.Key)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := Renew(dir, f.Cert, f.Key, 0); err != nil || Match(f.Cert, f.Key) != nil {
			t.Errorf("%v, %v", err, Match(f.Cert, f.Key))
		}
		if modeOf(t, f.Key) != 0o600 {
			t.Errorf("mode %v", modeOf(t, f.Key))
		}
		os.Remove(f.Key)
	}
}

// Files that are symbolic links, as in many deployments, stay links.
func TestRenewThroughLinks(t *testing.T) {
	dir, links := t.TempDir(), t.TempDir()
	mustInit(t, dir)
	f, _ := mustIssue(t, dir, Request{Name: "a", Client: true}, dir)
	cert, key := filepath.Join(links, "tls.crt"), filepath.Join(links, "tls.key")
	for from, to := range map[string]string{f.Cert: cert, f.Key: key} {
		if err := os.Symlink(from, to); err != nil {
			t.Fatal(err)
		}
	}
	_, made, err := Renew(dir, cert, key, 0)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(cert); err != nil || info.Mode()&os.ModeSymlink == 0 || leafOf(t, f).SerialNumber.Cmp(made.SerialNumber) != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestRenewRefuses(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	ca := mustInit(t, dir)
	mustInit(t, other)
	f, _ := mustIssue(t, dir, Request{Name: "a", Client: true}, t.TempDir())
	before := contents(t, f.Key)
	for says, renew := range map[string]func() error{
		"was not signed by":   func() error { _, _, err := Renew(other, f.Cert, f.Key, 0); return err },
		"is an authority":     func() error { _, _, err := Renew(dir, ca.CA, ca.CAKey, 0); return err },
		"no such file":        func() error { _, _, err := Renew(dir, f.Cert+"x", f.Key, 0); return err },
		"there is no author":  func() error { _, _, err := Renew(t.TempDir(), f.Cert, f.Key, 0); return err },
		"no certificate in P": func() error { _, _, err := Renew(dir, f.Key, f.Key, 0); return err },
	} {
		if err := renew(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	if contents(t, f.Key) != before {
		t.Error("the key was replaced")
	}
}

// An intermediate CA: the certificates it signs include its chain, so that clients need only the
// root.
func TestAnAuthorityBelowAnother(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	above := mustInit(t, root)
	p, err := loadPair(above.CA, above.CAKey)
	if err != nil {
		t.Fatal(err)
	}
	f := In(dir)
	below := template("below", time.Now(), authorityLife)
	below.IsCA, below.BasicConstraintsValid, below.KeyUsage = true, true, x509.KeyUsageCertSign
	// The generated root forbids intermediate CAs; replace it with one that does not.
	free := template("root", time.Now(), authorityLife)
	free.IsCA, free.BasicConstraintsValid, free.KeyUsage = true, true, x509.KeyUsageCertSign
	r, err := write(above.CA, above.CAKey, free, free, p.key, p.key, nil, replace)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign(&authority{pair: r}, f.CA, f.CAKey, below, create); err != nil {
		t.Fatal(err)
	}
	made, leaf := mustIssue(t, dir, Request{Name: "app", Client: true}, dir)
	chain, err := Read(made.Cert)
	if err != nil || len(chain) != 2 || leaf.Issuer.CommonName != "below" {
		t.Fatalf("%d certificates, %v", len(chain), err)
	}
	if err := Verify(chain, above.CA, time.Now()); err != nil {
		t.Error(err)
	}
}

// Half a CA is neither used nor treated as missing, and both commands return the same error.
func TestHalfAnAuthority(t *testing.T) {
	for _, gone := range []string{"ca.crt", "ca.key"} {
		dir := t.TempDir()
		mustInit(t, dir)
		if err := os.Remove(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
		_, _, again := Init(dir, "x", 0)
		_, _, issue := IssueFor(dir, Request{Name: "x", Client: true}, dir)
		if again == nil || issue == nil || again.Error() != issue.Error() || !strings.Contains(again.Error(), gone+" is not") {
			t.Errorf("without %s: init: %v; issue: %v", gone, again, issue)
		}
		if all, _ := os.ReadDir(dir); len(all) != 1 {
			t.Errorf("without %s: %v", gone, all)
		}
	}
}
