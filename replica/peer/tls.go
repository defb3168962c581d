package peer

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"

	"github.com/sluicemq/sluice/internal/certs"
)

// TLS is how brokers prove to each other that they are brokers of the cluster: each presents a
// certificate of the cluster's internal CA, which is not the CA of Kafka clients.
type TLS struct {
	// Server requires and verifies the certificates of brokers that connect.
	Server *tls.Config
	// Client returns the settings for the next connection to a broker.
	Client func() (*tls.Config, error)
}

// Files names a broker's certificate for the cluster, its key, and the CAs that brokers trust.
type Files struct{ Cert, Key, CA string }

// LoadTLS loads files. Replaced files are used for new connections; the caller runs Watch of
// the result of certs, to have them checked when nobody connects.
func LoadTLS(f Files, log *slog.Logger) (*TLS, *certs.Server, error) {
	s, err := certs.NewServer(certs.ServerFiles{CertFile: f.Cert, KeyFile: f.Key, ClientCAFile: f.CA, ClientAuth: certs.ClientAuthRequired}, log)
	if err != nil {
		return nil, nil, err
	}
	client := func() (*tls.Config, error) {
		c, err := certs.ClientConfig(f.CA, f.Cert, f.Key)
		if err == nil {
			c.MinVersion = tls.VersionTLS13
		}
		return c, err
	}
	if _, err := client(); err != nil {
		return nil, nil, err
	}
	return &TLS{s.Config(), client}, s, nil
}

// identity is the URI that names broker id in a certificate.
func identity(id int32) string { return "sluice://broker/" + strconv.Itoa(int(id)) }

// speaksFor returns why the owner of a certificate may not act as broker id, or nil. A broker's
// certificate is for servers, which a client's is not, even if the same CA has signed both. If it
// names brokers (a URI sluice://broker/ID for each), it is only for those.
func speaksFor(c *x509.Certificate, id int32) error {
	if !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return fmt.Errorf("the certificate %q is a client's; a broker's is issued with --server and --client", c.Subject.CommonName)
	}
	var named []string
	for _, u := range c.URIs {
		if u.Scheme == "sluice" && u.Host == "broker" {
			named = append(named, canonical(u))
		}
	}
	if len(named) > 0 && !slices.Contains(named, identity(id)) {
		return fmt.Errorf("the certificate %q is of %s, not of broker %d", c.Subject.CommonName, strings.Join(named, " and "), id)
	}
	return nil
}

// canonical returns u without what does not name a broker.
func canonical(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// certificateIn returns the certificate that the other side of a connection has presented, nil without
// TLS.
func certificateIn(info credentials.AuthInfo) *x509.Certificate {
	if c, ok := info.(*connection); ok {
		info = c.AuthInfo
	}
	t, ok := info.(credentials.TLSInfo)
	if !ok || len(t.State.PeerCertificates) == 0 {
		return nil
	}
	return t.State.PeerCertificates[0]
}

// mayBe returns why the other side of a connection may not be broker id, or nil.
func mayBe(p *grpcpeer.Peer, id int32, encrypted bool) error {
	c := certificateIn(p.AuthInfo)
	switch {
	case c != nil:
		return speaksFor(c, id)
	case encrypted:
		return fmt.Errorf("broker %d has presented no certificate", id)
	}
	return nil
}

// plainTo returns why an address may not be connected to, or listened on, without TLS, or nil.
func (c Config) plainTo(address string) error {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	local := err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
	if c.Plaintext == PlaintextEverywhere || c.Plaintext == PlaintextLoopback && local {
		return nil
	}
	return fmt.Errorf("%s would be used for replication without TLS: configure a certificate of the cluster's CA, or allow it (plaintext = %q now)", address, c.Plaintext)
}
