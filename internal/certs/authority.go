package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// authority is the certificate and key of a CA.
type authority struct {
	*pair
	// above is the chain up to but not including a root, starting with the CA's own certificate. It
	// is empty if the CA is a root.
	above []*x509.Certificate
}

// internal reports whether InitInternal made the CA.
func (a *authority) internal() bool { return namesNode(a.cert) }

// half returns an error if only one of the two files of a CA exists.
func (f Files) half() error {
	_, noCert := os.Lstat(f.CA)
	_, noKey := os.Lstat(f.CAKey)
	there, missing := f.CA, f.CAKey
	if noCert != nil {
		there, missing = missing, there
	}
	if (noCert == nil) == (noKey == nil) {
		return nil
	}
	return fmt.Errorf("half of an authority: %s is there and %s is not; bring it from where it is kept, or make another authority in another directory (sluice cert init --dir)", there, missing)
}

// loadAuthority loads the CA in a directory.
func loadAuthority(dir string, now time.Time) (*authority, error) {
	f := In(dir)
	if err := f.half(); err != nil {
		return nil, err
	}
	p, err := loadPair(f.CA, f.CAKey)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no authority in %s (%w); make one with sluice cert init, or name its directory with --dir", dir, err)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case !p.cert.IsCA || p.cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("%s is not the certificate of an authority", f.CA)
	case now.After(p.cert.NotAfter):
		return nil, fmt.Errorf("the authority %s ended on %s; make a new one in another directory", f.CA, p.cert.NotAfter.Format(time.DateOnly))
	}
	a := &authority{pair: p}
	if p.cert.CheckSignatureFrom(p.cert) == nil {
		return a, nil
	}
	text, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, err
	}
	all, err := certificatesIn(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.CA, err)
	}
	for _, c := range all {
		if c.CheckSignatureFrom(c) != nil { // clients have the root
			a.above = append(a.above, c)
		}
	}
	return a, nil
}

// Init creates a CA in dir, as ca.crt and ca.key. It fails if dir has one already. A life of 0
// means ten years.
func Init(dir, name string, life time.Duration) (Files, *x509.Certificate, error) {
	return initialize(dir, name, false, life)
}

// InitInternal is Init for a CA of certificates between nodes.
func InitInternal(dir, name string, life time.Duration) (Files, *x509.Certificate, error) {
	return initialize(dir, name, true, life)
}

func initialize(dir, name string, internal bool, life time.Duration) (Files, *x509.Certificate, error) {
	f := In(dir)
	if err := checkName(name); err != nil {
		return f, nil, err
	}
	if life == 0 {
		life = authorityLife
	}
	if err := makeDirectory(dir); err != nil {
		return f, nil, err
	}
	if err := f.half(); err != nil {
		return f, nil, err
	}
	if _, err := os.Lstat(f.CA); err == nil {
		return f, nil, fmt.Errorf("%s exists: there is an authority in %s; choose another directory", f.CA, dir)
	}
	made, err := newAuthority(f, name, internal, life, time.Now())
	if err != nil {
		return f, nil, err
	}
	return f, made.cert, nil
}

// IssueFor creates a certificate signed by the CA in dir, as NAME.crt and NAME.key in out. It does
// not overwrite existing files.
func IssueFor(dir string, r Request, out string) (Files, *x509.Certificate, error) {
	f := In(dir)
	f.Cert, f.Key = filepath.Join(out, r.Name+".crt"), filepath.Join(out, r.Name+".key")
	now := time.Now()
	t, err := r.template(now)
	if err != nil {
		return f, nil, err
	}
	ca, err := loadAuthority(dir, now)
	if err != nil {
		return f, nil, err
	}
	if ca.internal() {
		return f, nil, fmt.Errorf("%s is the internal CA of the nodes, which signs no certificates of clients or for them; name another directory with --dir", f.CA)
	}
	if err := makeDirectory(out); err != nil {
		return f, nil, err
	}
	made, err := sign(ca, f.Cert, f.Key, t, create)
	return f, made, err
}

// Issue is IssueFor for a client certificate with only a name.
func Issue(dir, name, out string) (Files, error) {
	f, _, err := IssueFor(dir, Request{Name: name, Client: true}, out)
	return f, err
}

// Renew replaces a certificate and its key. The new certificate is signed by the CA in dir and
// keeps the subject, SANs and uses; key and serial number are new. It is valid for life from now on
// or, if life is 0, for as long as the old one was. The key is written just before the certificate;
// servers that watch the files keep using the old pair in between. Renew also repairs a pair of
// which only one file was replaced.
func Renew(dir, certFile, keyFile string, life time.Duration) (old, made *x509.Certificate, err error) {
	now := time.Now()
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	if old, err = parseCertificate(text); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", certFile, err)
	}
	ca, err := loadAuthority(dir, now)
	if err != nil {
		return nil, nil, err
	}
	if old.IsCA {
		return nil, nil, fmt.Errorf("%s is an authority, which is not renewed: make another, and have both trusted for a while", certFile)
	}
	if err := old.CheckSignatureFrom(ca.cert); err != nil {
		return nil, nil, fmt.Errorf("%s was not signed by the authority %s (%w); name the directory of the one that did with --dir, or issue a new certificate", certFile, In(dir).CA, err)
	}
	if life == 0 {
		life = old.NotAfter.Sub(old.NotBefore) - backdated
	}
	t := template(old.Subject.CommonName, now, life)
	t.RawSubject = old.RawSubject
	t.DNSNames, t.IPAddresses, t.URIs, t.EmailAddresses = old.DNSNames, old.IPAddresses, old.URIs, old.EmailAddresses
	t.KeyUsage, t.ExtKeyUsage, t.BasicConstraintsValid = x509.KeyUsageDigitalSignature, old.ExtKeyUsage, true
	made, err = sign(ca, certFile, keyFile, t, replaceAlike)
	return old, made, err
}

func makeDirectory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("certificate directory: %w; make it writable or choose another", err)
	}
	return nil
}
