package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 397 * 24 * time.Hour // the longest that common verifiers accept
	// renewBefore is the remaining validity below which Ensure replaces a broker certificate.
	renewBefore = 30 * 24 * time.Hour
)

// Files are the paths of a CA and of a certificate signed by it.
type Files struct {
	CA, CAKey string
	Cert, Key string
}

// In returns the paths of the files that Ensure creates in a directory.
func In(dir string) Files {
	return Files{CA: filepath.Join(dir, "ca.crt"), CAKey: filepath.Join(dir, "ca.key"),
		Cert: filepath.Join(dir, "broker.crt"), Key: filepath.Join(dir, "broker.key")}
}

// Ensure creates a CA and a broker certificate in dir if they are missing. The certificate names
// hosts (DNS names or IP addresses), localhost, 127.0.0.1 and ::1. It is recreated if it lacks a
// name, has less than 30 days left, or was signed by another CA. The CA is never replaced, since
// clients trust it; to start over, remove the directory. Two processes must not call Ensure on the
// same directory concurrently.
func Ensure(dir string, hosts []string) (Files, error) {
	return ensure(dir, hosts, time.Now())
}

func ensure(dir string, hosts []string, now time.Time) (Files, error) {
	f := In(dir)
	if err := makeDirectory(dir); err != nil {
		return f, err
	}
	ca, err := loadPair(f.CA, f.CAKey)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if ca, err = newAuthority(f, "sluice authority", false, authorityLife, now); err != nil {
			return f, err
		}
	case err != nil:
		return f, err
	case now.After(ca.cert.NotAfter):
		return f, fmt.Errorf("the authority %s ended on %s; remove %s to have new certificates made, then give clients the new ca.crt",
			f.CA, ca.cert.NotAfter.Format(time.DateOnly), dir)
	}
	hosts = withLoopback(hosts)
	leaf, err := loadPair(f.Cert, f.Key)
	if err == nil && usable(leaf.cert, ca.cert, hosts, now) {
		return f, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errMismatch) {
		return f, err
	}
	t, err := Request{Name: "sluice broker", Server: true, Client: true, SANs: hosts}.template(now)
	if err != nil {
		return f, err
	}
	_, err = sign(&authority{pair: ca}, f.Cert, f.Key, t, replace)
	return f, err
}

// withLoopback returns the names a broker certificate must have, without duplicates.
func withLoopback(hosts []string) []string {
	out := []string{"localhost", "127.0.0.1", "::1"}
	for _, h := range hosts {
		h, _, _ = strings.Cut(h, "%")                                            // strip the zone
		if addSAN(new(x509.Certificate), h) == nil && !slices.Contains(out, h) { // not 0.0.0.0
			out = append(out, h)
		}
	}
	return out
}

// usable reports whether a broker certificate is valid for all hosts, signed by ca, and not due for
// renewal.
func usable(leaf, ca *x509.Certificate, hosts []string, now time.Time) bool {
	if leaf.NotAfter.Sub(now) < renewBefore || leaf.CheckSignatureFrom(ca) != nil {
		return false
	}
	for _, h := range hosts {
		if leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

// errMismatch means that a certificate and a key do not match, as after a crash between writing the
// two.
var errMismatch = errors.New("certificate and key do not belong together")

// loadPair loads a certificate and its key.
func loadPair(certFile, keyFile string) (*pair, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", certFile, err)
	}
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return nil, fmt.Errorf("%s and %s: %w; restore them or remove both", certFile, keyFile, errMismatch)
	}
	return &pair{cert: cert, key: key}, nil
}
