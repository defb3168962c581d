package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// InternalFiles names the files with which a node proves to others who it is, and verifies them.
type InternalFiles struct {
	CertFile, KeyFile string // PEM; the certificate may be followed by its chain
	CAFile            string // the internal CA; more than one while it is being replaced
}

// Internal provides the TLS settings of connections between nodes and keeps them up to date with
// their files, all three together. Both ends have a certificate of the internal CA that says whose
// it is ([Node]); TLS 1.3 only. Each handshake is verified against the CAs in use, and none is
// resumed.
//
// The CAs in use always verify the node's own certificate. So to replace the CA, add the new one to
// the file on all nodes, then replace the certificates, then remove the old one.
type Internal struct {
	watched
	files InternalFiles
	self  Node

	// Guarded by mu; never changed.
	cert *tls.Certificate
	cas  *x509.CertPool
}

// NewInternal loads the files. It fails if others would refuse the certificate, or if it is not of
// this node with all its roles.
func NewInternal(f InternalFiles, self Node, log *slog.Logger) (*Internal, error) {
	return newInternal(f, self, log, time.Now)
}

func newInternal(f InternalFiles, self Node, log *slog.Logger, now func() time.Time) (*Internal, error) {
	if err := self.validate(); err != nil {
		return nil, err
	}
	if f.CertFile == "" || f.KeyFile == "" || f.CAFile == "" {
		return nil, errors.New("connections between nodes need a certificate, its key and the internal CA")
	}
	i := &Internal{files: f, self: self, watched: watched{log: log, now: now}}
	i.sources = []*source{{use: UseInternal, files: []string{f.CertFile, f.KeyFile, f.CAFile}, load: i.load}}
	if err := i.loadAll(); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.warn()
	return i, nil
}

// load loads the files and puts them in use.
func (i *Internal) load() (time.Time, error) {
	cert, err := keyPair(i.files.CertFile, i.files.KeyFile)
	if err != nil {
		return time.Time{}, err
	}
	all, err := readClientCAs(i.files.CAFile)
	if err != nil {
		return time.Time{}, err
	}
	cas := x509.NewCertPool()
	ends := all[0].NotAfter
	for _, ca := range all {
		cas.AddCert(ca)
		if ca.NotAfter.Before(ends) {
			ends = ca.NotAfter
		}
	}
	chain := []*x509.Certificate{cert.Leaf}
	for _, der := range cert.Certificate[1:] {
		above, err := x509.ParseCertificate(der)
		if err != nil {
			return time.Time{}, fmt.Errorf("certificate %s: its chain: %w", i.files.CertFile, err)
		}
		chain = append(chain, above)
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := i.verify(chain, cas, use); err != nil {
			return time.Time{}, fmt.Errorf("other nodes would refuse the certificate %s with the CA %s: %w", i.files.CertFile, i.files.CAFile, err)
		}
	}
	owner, err := NodeOf(cert.Leaf)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", i.files.CertFile, err)
	}
	if owner.ID != i.self.ID || slices.ContainsFunc(i.self.Roles, func(r Role) bool { return !owner.Is(r) }) {
		return time.Time{}, fmt.Errorf("%s is the certificate of %s, but this is %s; issue its own with `sluice cert issue --node %d --role %s`",
			i.files.CertFile, owner, i.self, i.self.ID, joinRoles(i.self.Roles))
	}
	for _, c := range chain {
		if c.NotAfter.Before(ends) {
			ends = c.NotAfter
		}
	}
	i.cert, i.cas = cert, cas
	return ends, nil
}

func joinRoles(roles []Role) string {
	var all []string
	for _, r := range roles {
		all = append(all, string(r))
	}
	return strings.Join(all, ",")
}

// verify returns an error unless a chain is valid now for a use, under one of the CAs.
func (i *Internal) verify(chain []*x509.Certificate, cas *x509.CertPool, use x509.ExtKeyUsage) error {
	o := x509.VerifyOptions{Roots: cas, Intermediates: x509.NewCertPool(), CurrentTime: i.now(), KeyUsages: []x509.ExtKeyUsage{use}}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(o)
	return err
}

func (i *Internal) inUse() (*tls.Certificate, *x509.CertPool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.look()
	return i.cert, i.cas
}

// Server returns the settings of a listener for nodes that have one of the roles. They, and copies
// of them, follow the files. [Peer] tells who has connected.
func (i *Internal) Server(roles ...Role) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		// Verified below: crypto/tls would do so with the CAs of the time at which this is made.
		ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, _ := i.inUse()
			return cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			n, err := i.peer(cs, x509.ExtKeyUsageClientAuth)
			if err == nil && !slices.ContainsFunc(roles, n.Is) {
				err = fmt.Errorf("the certificate is of %s, but this port is for nodes that are a %s", n, strings.ReplaceAll(joinRoles(roles), ",", " or a "))
			}
			return err
		},
	}
}

// Any is an id for Client that accepts every node of the role.
const Any int32 = -1

// Client returns the settings for connections to a node that has a role, and an id unless that is
// [Any]. They, and copies of them, follow the files. The address at which the node is reached does
// not matter.
func (i *Internal) Client(role Role, id int32) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Not the host name is verified but whose the certificate is, below.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, _ := i.inUse()
			return cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			n, err := i.peer(cs, x509.ExtKeyUsageServerAuth)
			switch {
			case err != nil:
				return err
			case !n.Is(role):
				return fmt.Errorf("%s is at this address, which is no %s; check the addresses in the settings", n, role)
			case id != Any && n.ID != id:
				return fmt.Errorf("%s is at this address, not %s %d; check the addresses in the settings", n, role, id)
			}
			return nil
		},
	}
}

// peer verifies the certificate of the other end and returns whose it is.
func (i *Internal) peer(cs tls.ConnectionState, use x509.ExtKeyUsage) (Node, error) {
	if len(cs.PeerCertificates) == 0 {
		return Node{}, errors.New("it has no certificate; nodes need one of the cluster's internal CA (sluice cert issue --node)")
	}
	_, cas := i.inUse()
	if err := i.verify(cs.PeerCertificates, cas, use); err != nil {
		return Node{}, fmt.Errorf("its certificate %q is none of the cluster's internal CA (%s), or not valid now: %w", cs.PeerCertificates[0].Subject.CommonName, i.files.CAFile, err)
	}
	return NodeOf(cs.PeerCertificates[0])
}

// Peer returns the node at the other end of a connection whose handshake is over.
func Peer(cs tls.ConnectionState) (Node, error) {
	if len(cs.PeerCertificates) == 0 {
		return Node{}, errors.New("the peer has shown no certificate")
	}
	return NodeOf(cs.PeerCertificates[0])
}

// ErrPeerRefuses means that the other node does not accept this node's certificate.
var ErrPeerRefuses = errors.New("the other node refuses this node's certificate; its log says why, and both must have certificates of the same internal CA")

// Explain adds to an error of a connection what it means, if the other end has refused the
// certificate: with TLS 1.3 a client learns that only when it reads.
func Explain(err error) error {
	if err == nil || errors.Is(err, ErrPeerRefuses) {
		return err
	}
	_, alert, _ := strings.Cut(err.Error(), "remote error: tls: ") // gRPC passes it on as text
	for _, why := range []string{"bad certificate", "certificate required", "unknown certificate", "expired certificate", "unsupported certificate"} {
		if strings.HasPrefix(alert, why) {
			return fmt.Errorf("%w (%w)", ErrPeerRefuses, err)
		}
	}
	return err
}
