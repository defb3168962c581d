package peer

import (
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcpeer "google.golang.org/grpc/peer"

	"github.com/sluicemq/sluice/internal/certs"
)

// serverCredentials accepts brokers that have a certificate of the cluster's internal CA.
func (p *Peers) serverCredentials() credentials.TransportCredentials {
	if p.tls == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(p.tls.Server(certs.RoleBroker))
}

// clientCredentials accepts only the broker that is to be at an address.
func (p *Peers) clientCredentials(b Broker) (credentials.TransportCredentials, error) {
	if p.tls == nil {
		return insecure.NewCredentials(), p.cfg.plainTo(b.Address)
	}
	return credentials.NewTLS(p.tls.Client(certs.RoleBroker, b.ID)), nil
}

// maySpeakAs returns why whoever has connected may not act as a broker, or nil: with TLS, the id of
// a Hello is that of the certificate.
func (p *Peers) maySpeakAs(who *grpcpeer.Peer, broker int32) error {
	if p.tls == nil {
		return nil
	}
	c, _ := who.AuthInfo.(*connection)
	t, ok := c.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return fmt.Errorf("broker %d has connected without TLS", broker)
	}
	n, err := certs.Peer(t.State)
	if err != nil {
		return err
	}
	if n.ID != broker {
		return fmt.Errorf("the certificate of %s was used by broker %d; each broker needs its own", n, broker)
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
	return fmt.Errorf("%s would be used for replication without TLS: configure a certificate of the cluster's internal CA (sluice cert issue --node), or allow it (plaintext = %q now)", address, c.Plaintext)
}
