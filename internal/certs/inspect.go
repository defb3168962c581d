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

// Match returns an error unless the key matches the first certificate in a file.
func Match(certFile, keyFile string) error {
	_, err := keyPair(certFile, keyFile)
	return err
}

// Verify returns an error unless the first certificate of chain is valid now and was signed by a CA
// in caFile, directly or through the rest of the chain.
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

// Above reports whether certificate i of a file is in the chain of the first: it signed an earlier
// certificate that is in the chain.
func Above(all []*x509.Certificate, i int) bool {
	for j, c := range all[:i] {
		if c.CheckSignatureFrom(all[i]) == nil && !c.Equal(all[i]) && (j == 0 || Above(all, j)) {
			return true
		}
	}
	return false
}

// Valid returns an error unless a certificate is valid at a time.
func Valid(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("it is not valid before %s", c.NotBefore.Format(time.RFC3339))
	case now.After(c.NotAfter):
		return fmt.Errorf("it has ended on %s", c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Uses returns what a certificate may be used for.
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

// KeyKind returns the type of a certificate's key.
func KeyKind(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	}
	return c.PublicKeyAlgorithm.String()
}

// Left describes how much longer a certificate is valid.
func Left(c *x509.Certificate, now time.Time) string { return left(c.NotAfter, now) }
