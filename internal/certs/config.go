package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
	// MinVersion is the oldest version of TLS that clients may have: tls.VersionTLS13,
	// which 0 means, or tls.VersionTLS12. QUIC has none before 1.3.
	MinVersion uint16
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
	if v := f.minVersion(); v != tls.VersionTLS12 && v != tls.VersionTLS13 {
		return fmt.Errorf("TLS must begin with version 1.2 or 1.3, not %s", tls.VersionName(v))
	}
	if f.CertFile == "" || f.KeyFile == "" {
		return errors.New("TLS needs both a certificate file and a key file")
	}
	return nil
}

func (f ServerFiles) verifiesClients() bool {
	return f.ClientAuth == ClientAuthOptional || f.ClientAuth == ClientAuthRequired
}

func (f ServerFiles) minVersion() uint16 {
	if f.MinVersion == 0 {
		return tls.VersionTLS13
	}
	return f.MinVersion
}

// ServerConfig returns the TLS settings of a server that has nothing to say of its
// files; see Server.
func ServerConfig(f ServerFiles) (*tls.Config, error) {
	s, err := NewServer(f, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return s.Config(), nil
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
	// With Certificates it would be kept back where the broker names other authorities, and
	// the broker would say, or not even mind, that it got none.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	return c, nil
}

// Pool reads the authorities in a PEM file.
func Pool(file string) (*x509.CertPool, error) {
	b, err := readCAFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, noCertificate(file)
	}
	return pool, nil
}

// readClientCAs reads the authorities in a PEM file, at least one. One that cannot be
// read is an error: it would be missed only when somebody shows a certificate of it.
func readClientCAs(file string) ([]*x509.Certificate, error) {
	b, err := readCAFile(file)
	if err != nil {
		return nil, err
	}
	all, err := certificatesIn(b)
	if err != nil {
		return nil, fmt.Errorf("CA file %s: %w", file, err)
	}
	if len(all) == 0 {
		return nil, noCertificate(file)
	}
	for _, c := range all {
		if !c.IsCA && !bytes.Equal(c.RawIssuer, c.RawSubject) {
			return nil, fmt.Errorf("CA file %s: %q is not the certificate of an authority", file, c.Subject.CommonName)
		}
	}
	return all, nil
}

func readCAFile(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("CA file: %w; a development broker keeps its own in tls/ca.crt of its data directory", err)
	}
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	return b, nil
}

func noCertificate(file string) error {
	return fmt.Errorf("CA file %s has no certificate in PEM form", file)
}

// certificatesIn returns the certificates in a text, in their order.
func certificatesIn(text []byte) (all []*x509.Certificate, err error) {
	begun := bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----")) // the decoder skips what is cut off
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			if len(all) < begun {
				return nil, fmt.Errorf("of %d certificates that begin in it %d can be read; it is damaged, or not written to its end", begun, len(all))
			}
			return all, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
}

// keyPair reads a certificate chain and its key.
func keyPair(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}
