package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"
)

// IssueNode creates a node's certificate, signed by the internal CA in dir, as NAME.crt and
// NAME.key in out. NAME is the role and the id as in broker-7, or node-7 for several roles. It does
// not overwrite existing files. A life of 0 means 397 days.
func IssueNode(dir string, n Node, life time.Duration, out string) (Files, *x509.Certificate, error) {
	now := time.Now()
	f := nodeFiles(dir, n, out)
	t, err := n.template(life, now)
	if err != nil {
		return f, nil, err
	}
	ca, err := loadInternal(dir, now)
	if err != nil {
		return f, nil, err
	}
	if err := makeDirectory(out); err != nil {
		return f, nil, err
	}
	made, err := sign(ca, f.Cert, f.Key, t, create)
	return f, made, err
}

// EnsureNode returns the files of a node's certificate in dir. It creates an internal CA and the
// certificate if they are missing, and replaces a certificate that the CA in dir has not signed,
// that is of another node or that has less than 30 days left. The CA is never replaced. Two
// processes must not call EnsureNode on the same directory concurrently.
func EnsureNode(dir string, n Node) (InternalFiles, error) {
	return ensureNode(dir, n, time.Now())
}

func ensureNode(dir string, n Node, now time.Time) (InternalFiles, error) {
	f := nodeFiles(dir, n, dir)
	files := InternalFiles{CertFile: f.Cert, KeyFile: f.Key, CAFile: f.CA}
	t, err := n.template(0, now)
	if err != nil {
		return files, err
	}
	if err := makeDirectory(dir); err != nil {
		return files, err
	}
	if _, err := loadPair(f.CA, f.CAKey); errors.Is(err, fs.ErrNotExist) {
		if _, err := newAuthority(f, "sluice internal authority", true, authorityLife, now); err != nil {
			return files, err
		}
	}
	ca, err := loadInternal(dir, now)
	if err != nil {
		return files, err
	}
	switch leaf, err := loadPair(f.Cert, f.Key); {
	case err == nil && leaf.cert.NotAfter.Sub(now) >= renewBefore && leaf.cert.CheckSignatureFrom(ca.cert) == nil && sameNode(leaf.cert, n):
		return files, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errMismatch):
		return files, err
	}
	_, err = sign(ca, f.Cert, f.Key, t, replace)
	return files, err
}

func sameNode(c *x509.Certificate, n Node) bool {
	owner, err := NodeOf(c)
	return err == nil && owner.ID == n.ID && len(owner.Roles) == len(n.Roles) && owner.Is(n.Roles[0]) && owner.Is(n.Roles[len(n.Roles)-1])
}

func nodeFiles(dir string, n Node, out string) Files {
	name := fmt.Sprintf("node-%d", n.ID)
	if len(n.Roles) == 1 {
		name = fmt.Sprintf("%s-%d", n.Roles[0], n.ID)
	}
	f := In(dir)
	f.Cert, f.Key = filepath.Join(out, name+".crt"), filepath.Join(out, name+".key")
	return f
}

// template returns the node's certificate, without a key.
func (n Node) template(life time.Duration, now time.Time) (*x509.Certificate, error) {
	if err := n.validate(); err != nil {
		return nil, err
	}
	if life == 0 {
		life = leafLife
	}
	t := template(n.String(), now, life)
	t.URIs = n.uris()
	t.KeyUsage, t.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return t, nil
}

// loadInternal loads the internal CA in a directory.
func loadInternal(dir string, now time.Time) (*authority, error) {
	ca, err := loadAuthority(dir, now)
	if err == nil && !ca.internal() {
		err = fmt.Errorf("%s is a CA for clients, and nodes need one of their own; make it in another directory with `sluice cert init --internal`", In(dir).CA)
	}
	return ca, err
}
