package quic

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"

	quicgo "github.com/quic-go/quic-go"
)

// resetKey returns the stateless reset key, which tells clients of a previous process of this
// broker that their connections are gone, so that they need not wait for a timeout (RFC 9000,
// section 10.3). It must be secret and survive a restart, so it is derived from the
// certificate's private key. Nil if there is no such key.
func resetKey(c *tls.Config) *quicgo.StatelessResetKey {
	var cert *tls.Certificate
	if len(c.Certificates) > 0 {
		cert = &c.Certificates[0]
	} else if c.GetCertificate != nil {
		cert, _ = c.GetCertificate(&tls.ClientHelloInfo{})
	}
	if cert == nil {
		return nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil // the key is in hardware
	}
	mac := hmac.New(sha256.New, der)
	mac.Write([]byte("sluice stateless reset"))
	key := quicgo.StatelessResetKey(mac.Sum(nil))
	return &key
}
