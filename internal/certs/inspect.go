package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// Read returns the certificates in a PEM file, at least one.
func Read(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	all, err := certificatesIn(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(all) > 0 {
		return all, nil
	}
	if bytes.Contains(text, []byte("PRIVATE KEY-----")) {
		return nil, fmt.Errorf("%s is a private key; name the certificate", file)
	}
	if block, _ := pem.Decode(text); block != nil {
		return nil, fmt.Errorf("%s has no certificate but a %s", file, block.Type)
	}
	return nil, fmt.Errorf("%s has no certificate in PEM form", file)
}

// Match says whether a key is that of the first certificate in a file.
func Match(certFile, keyFile string) error {
	_, err := keyPair(certFile, keyFile)
	return err
}

// Verify says whether a certificate, with those that follow it in its file, was signed by
// an authority in caFile and is valid now.
func Verify(chain []*x509.Certificate, caFile string, now time.Time) error {
	roots, err := Pool(caFile)
	if err != nil {
		return err
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err = chain[0].Verify(o)
	return err
}

// Above says whether certificate i of a file is in the chain of the first: it has signed one that
// is in the chain and stands before it.
func Above(all []*x509.Certificate, i int) bool {
	for j, c := range all[:i] {
		if c.CheckSignatureFrom(all[i]) == nil && !c.Equal(all[i]) && (j == 0 || Above(all, j)) {
			return true
		}
	}
	return false
}

// Valid says whether a certificate can be used at a time.
func Valid(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("it is not valid before %s", c.NotBefore.Format(time.RFC3339))
	case now.After(c.NotAfter):
		return fmt.Errorf("it has ended on %s", c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Uses says what a certificate may be used as.
func Uses(c *x509.Certificate) (all []string) {
	if c.IsCA {
		all = append(all, "authority")
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			all = append(all, "server")
		case x509.ExtKeyUsageClientAuth:
			all = append(all, "client")
		case x509.ExtKeyUsageAny:
			all = append(all, "anything")
		}
	}
	return all
}

// KeyKind names the kind of a certificate's key.
func KeyKind(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	}
	return c.PublicKeyAlgorithm.String()
}

// Left says in words how long a certificate lasts from now on.
func Left(c *x509.Certificate, now time.Time) string { return left(c.NotAfter, now) }
