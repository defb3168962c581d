package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Server provides a server's TLS settings and keeps them up to date with its files: handshakes use
// new contents within a second of a change. Contents that cannot be used, such as a new certificate
// with the old key, change nothing: the last good ones stay in use, the log says why, once per
// change, and Status reports it until it is fixed.
type Server struct {
	watched
	files ServerFiles

	// Guarded by mu.
	cert      *tls.Certificate
	verifying *tls.Config // with the client CAs in use; never changed
}

// NewServer loads the files. It fails if they cannot be used.
func NewServer(f ServerFiles, log *slog.Logger) (*Server, error) {
	return newServer(f, log, time.Now)
}

func newServer(f ServerFiles, log *slog.Logger, now func() time.Time) (*Server, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	s := &Server{files: f, watched: watched{log: log, now: now}}
	s.sources = []*source{{use: UseServer, files: []string{f.CertFile, f.KeyFile}, load: s.loadPair}}
	if f.verifiesClients() {
		s.sources = append(s.sources, &source{use: UseClientCA, files: []string{f.ClientCAFile}, load: s.loadClientCAs})
	}
	if err := s.loadAll(); err != nil {
		return nil, err
	}
	if err := provesServer(s.cert.Leaf); err != nil {
		log.Error("clients cannot verify the broker; issue a certificate with --server and the names that they connect to (sluice cert issue), no restart is needed",
			"file", f.CertFile, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warn()
	return s, nil
}

// Config returns the settings for crypto/tls. They follow the files, as do copies of them.
func (s *Server) Config() *tls.Config {
	if s.files.verifiesClients() {
		c := s.clientConfig().Clone()
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.clientConfig(), nil }
		return c
	}
	return s.base()
}

func (s *Server) base() *tls.Config {
	return &tls.Config{MinVersion: s.files.minVersion(),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate(), nil }}
}

// certificate returns the current certificate.
func (s *Server) certificate() *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	return s.cert
}

// clientConfig returns the current settings for servers that verify client certificates.
func (s *Server) clientConfig() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	return s.verifying
}

// loadPair loads the certificate and key from their files and puts them in use.
func (s *Server) loadPair() (time.Time, error) {
	cert, err := keyPair(s.files.CertFile, s.files.KeyFile)
	if err != nil {
		return time.Time{}, err
	}
	ends := cert.Leaf.NotAfter
	for _, der := range cert.Certificate[1:] {
		above, err := x509.ParseCertificate(der)
		if err != nil {
			return time.Time{}, fmt.Errorf("certificate %s: its chain: %w", s.files.CertFile, err)
		}
		if above.NotAfter.Before(ends) {
			ends = above.NotAfter
		}
	}
	switch now := s.now(); {
	case s.cert == nil: // better than none
	case now.After(ends):
		return time.Time{}, fmt.Errorf("certificate %s has ended on %s", s.files.CertFile, ends.Format(time.RFC3339))
	case now.Before(cert.Leaf.NotBefore):
		return time.Time{}, fmt.Errorf("certificate %s is not valid before %s", s.files.CertFile, cert.Leaf.NotBefore.Format(time.RFC3339))
	default:
		if err := provesServer(cert.Leaf); err != nil {
			return time.Time{}, fmt.Errorf("certificate %s: %w", s.files.CertFile, err)
		}
	}
	s.cert = cert
	return ends, nil
}

// provesServer returns an error if no client can verify a server by a certificate, whatever name
// the client connects to. The common name does not count (RFC 6125, 6.4.4).
func provesServer(leaf *x509.Certificate) error {
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		return errors.New("it has neither a DNS name nor an IP address (SAN), so it is right for no server")
	}
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return errors.New("it is not for servers: its extended key usage lacks serverAuth")
	}
	return nil
}

// loadClientCAs loads the client CAs from their file and puts them in use. Clients are verified in
// a full handshake each time: a resumed session would be verified against the CAs of its first.
func (s *Server) loadClientCAs() (time.Time, error) {
	all, err := readClientCAs(s.files.ClientCAFile)
	if err != nil {
		return time.Time{}, err
	}
	c := s.base()
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if s.files.ClientAuth == ClientAuthRequired {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.SessionTicketsDisabled = true
	c.VerifyConnection = refuseNodes
	c.ClientCAs = x509.NewCertPool()
	ends := all[0].NotAfter
	for _, a := range all {
		if namesNode(a) {
			return time.Time{}, fmt.Errorf("CA file %s: %q is the internal CA of nodes, and clients need one of their own", s.files.ClientCAFile, a.Subject.CommonName)
		}
		c.ClientCAs.AddCert(a)
		if a.NotAfter.Before(ends) {
			ends = a.NotAfter
		}
	}
	s.verifying = c
	return ends, nil
}

// Unproven returns why no client can verify the server by the certificate in use, or nil if one
// can.
func (s *Server) Unproven() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return provesServer(s.cert.Leaf)
}
