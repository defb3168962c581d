package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"strings"
	"time"
)

// pair is a certificate with its private key.
type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Request describes a certificate to issue.
type Request struct {
	// Name is the common name. It identifies a client.
	Name string
	// Server and Client are the permitted uses.
	Server, Client bool
	// SANs are the names of a server, or additional names of a client: DNS names (a leading *.
	// matches one label), IP addresses, URIs, email addresses.
	SANs []string
	// Life is the validity from now on; 0 means 397 days. It never extends beyond that of the CA.
	Life time.Duration
}

// template returns the requested certificate, without a key.
func (r Request) template(now time.Time) (*x509.Certificate, error) {
	if err := checkName(r.Name); err != nil {
		return nil, err
	}
	if !r.Server && !r.Client {
		return nil, errors.New("a certificate must be for a server, a client, or both")
	}
	if r.Server && len(r.SANs) == 0 {
		return nil, errors.New("a server's certificate needs the names and addresses that clients connect to")
	}
	life := r.Life
	if life == 0 {
		life = leafLife
	}
	t := template(r.Name, now, life)
	if err := addSANs(t, r.SANs); err != nil {
		return nil, err
	}
	if namesNode(t) {
		return nil, fmt.Errorf("names that begin with %s:// are for certificates of nodes; issue those with `sluice cert issue --node`", nodeScheme)
	}
	t.KeyUsage, t.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	if r.Server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.Client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	return t, nil
}

// newAuthority creates a CA. The key is written first: a certificate without a key could never
// sign, which would go unnoticed until then.
func newAuthority(f Files, name string, internal bool, life time.Duration, now time.Time) (*pair, error) {
	if _, err := os.Stat(f.CA); err == nil {
		return nil, fmt.Errorf("the authority %s has no key; restore %s, or remove both to have new ones made", f.CA, f.CAKey)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template(name, now, life)
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if internal {
		t.URIs = []*url.URL{internalAuthority}
	}
	return write(f.CA, f.CAKey, t, t, key, key, nil, create)
}

// sign generates a key for a certificate, signs the certificate with ca, and writes both with save.
func sign(ca *authority, certFile, keyFile string, t *x509.Certificate, save saver) (*x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if t.NotAfter.After(ca.cert.NotAfter) {
		t.NotAfter = ca.cert.NotAfter
	}
	made, err := write(certFile, keyFile, t, ca.cert, key, ca.key, ca.above, save)
	if err != nil {
		return nil, err
	}
	return made.cert, nil
}

// backdated is how far before its creation a certificate's validity starts, to allow for clock
// skew.
const backdated = time.Hour

func template(name string, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"SluiceMQ"}},
		NotBefore: now.Add(-backdated).UTC(), NotAfter: now.Add(life).UTC()}
}

// write signs a certificate and writes it with the chain above it, and its key.
func write(certFile, keyFile string, t, parent *x509.Certificate, key, signer crypto.Signer, above []*x509.Certificate, save saver) (*pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %q: %w", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for _, c := range above {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	err = save(file{keyFile, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}, file{certFile, 0o644, chain})
	if err != nil {
		return nil, err
	}
	return &pair{cert: cert, key: key}, nil
}

func parseCertificate(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("there is no certificate in PEM form in it; restore the file or remove it with its key")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(b []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(b)
	if block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errors.New("there is no key in PEM form in it; restore the file or remove it with its certificate")
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a key of type %q cannot be read; it must be without a passphrase, in PKCS #8", block.Type)
	}
	if err != nil {
		return nil, err
	}
	if s, ok := key.(crypto.Signer); ok {
		return s, nil
	}
	return nil, fmt.Errorf("a key of type %T cannot sign", key)
}
