package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ClientAuth says whether clients must show a certificate.
type ClientAuth string

const (
	// ClientAuthNone asks for none. It is the default.
	ClientAuthNone ClientAuth = "none"
	// ClientAuthOptional verifies one that is shown.
	ClientAuthOptional ClientAuth = "optional"
	// ClientAuthRequired refuses clients without a valid one.
	ClientAuthRequired ClientAuth = "required"
)

// ServerFiles says with what a server proves itself, and whom it lets in.
type ServerFiles struct {
	CertFile, KeyFile string // PEM; the certificate may be followed by its chain
	// ClientCAFile has the authorities of client certificates, in PEM form.
	ClientCAFile string
	ClientAuth   ClientAuth // empty means none
}

// Validate reports a setting that cannot work.
func (f ServerFiles) Validate() error {
	switch f.ClientAuth {
	case "", ClientAuthNone:
	case ClientAuthOptional, ClientAuthRequired:
		if f.ClientCAFile == "" {
			return fmt.Errorf("client certificates are %s but no client CA file is set to verify them with", f.ClientAuth)
		}
	default:
		return fmt.Errorf("client auth %q is not known; use none, optional or required", f.ClientAuth)
	}
	if f.CertFile == "" || f.KeyFile == "" {
		return errors.New("TLS needs both a certificate file and a key file")
	}
	return nil
}

// ServerConfig returns the TLS settings of a server: TLS 1.2 or later (QUIC itself
// takes 1.3 only). When the certificate file is replaced, handshakes from then on
// use the new one; while the files cannot be read, they go on with the old one.
func ServerConfig(f ServerFiles) (*tls.Config, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	r, err := newReloader(f.CertFile, f.KeyFile)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.current(), nil }}
	switch f.ClientAuth {
	case ClientAuthOptional:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case ClientAuthRequired:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return c, nil
	}
	if c.ClientCAs, err = Pool(f.ClientCAFile); err != nil {
		return nil, err
	}
	return c, nil
}

// ClientConfig returns the TLS settings of a client. An empty caFile means the
// system's authorities; empty certFile and keyFile mean no client certificate.
func ClientConfig(caFile, certFile, keyFile string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pool, err := Pool(caFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if (certFile == "") != (keyFile == "") {
		return nil, errors.New("a client certificate needs its key, and the other way round: set both files or none")
	}
	if certFile == "" {
		return c, nil
	}
	pair, err := keyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	c.Certificates = []tls.Certificate{*pair}
	return c, nil
}

// Pool reads the authorities in a PEM file.
func Pool(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("CA file: %w; a development broker keeps its own in tls/ca.crt of its data directory", err)
	}
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("CA file %s has no certificate in PEM form", file)
	}
	return pool, nil
}

// keyPair reads a certificate chain and its key.
func keyPair(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}
