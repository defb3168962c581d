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

// ClientAuth selects whether clients must present a certificate.
type ClientAuth string

const (
	// ClientAuthNone requests no certificate. It is the default.
	ClientAuthNone ClientAuth = "none"
	// ClientAuthOptional verifies a certificate if the client presents one.
	ClientAuthOptional ClientAuth = "optional"
	// ClientAuthRequired rejects clients without a valid certificate.
	ClientAuthRequired ClientAuth = "required"
)

// ServerFiles names a server's certificate files and how it verifies clients.
type ServerFiles struct {
	CertFile, KeyFile string // PEM; the certificate may be followed by its chain
	// ClientCAFile has the CAs of client certificates, in PEM form.
	ClientCAFile string
	ClientAuth   ClientAuth // empty means none
	// MinVersion is the lowest TLS version accepted: tls.VersionTLS13 (also if 0) or
	// tls.VersionTLS12. QUIC always uses 1.3 or later.
	MinVersion uint16
}

// Validate reports settings that cannot work.
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

// ServerConfig returns the TLS settings of a server that logs nothing about its files; see Server.
func ServerConfig(f ServerFiles) (*tls.Config, error) {
	s, err := NewServer(f, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return s.Config(), nil
}

// ClientConfig returns the TLS settings of a client. An empty caFile means the system's CAs; empty
// certFile and keyFile mean no client certificate.
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
	// With Certificates, crypto/tls would not send it if the broker lists other CAs. The broker
	// would then report a missing certificate, or not complain at all.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	return c, nil
}

// Pool returns the CAs in a PEM file.
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

// readClientCAs returns the CAs in a PEM file, at least one. A CA that cannot be parsed is an
// error: otherwise it would be missed only when a client presents a certificate signed by it.
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

// certificatesIn returns the certificates in a PEM text, in order.
func certificatesIn(text []byte) (all []*x509.Certificate, err error) {
	begun := bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----")) // the decoder skips truncated blocks
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

// keyPair loads a certificate chain and its key.
func keyPair(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return &pair, nil
}
