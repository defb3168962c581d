package certs

import (
	"crypto/tls"

	"github.com/sluicemq/sluice/internal/setting"
)

// Config configures the broker's certificate and how it verifies clients.
type Config struct {
	// Generates a CA and a certificate in DATA/tls when certificate_file is empty; clients
	// then need DATA/tls/ca.crt. If false, a certificate must be configured.
	Generate bool `toml:"generate" default:"true"`
	// The broker's certificate followed by its chain, and its private key, as PEM. These files
	// and client_ca_file are reloaded within a second of a change; while the new contents are
	// unusable the last good ones stay in use and the log says why. Relative paths are
	// relative to the data directory.
	CertificateFile string `toml:"certificate_file"`
	KeyFile         string `toml:"key_file"`
	// CAs that client certificates are verified against. With a generated certificate, empty
	// means the generated CA.
	ClientCAFile string `toml:"client_ca_file"`
	// Client certificates: "none" does not ask for one, "optional" verifies one if the client
	// sends it, "required" rejects clients without one.
	ClientAuth ClientAuth `toml:"client_auth" default:"none" oneof:"none|optional|required"`
	// The lowest TLS version accepted over TCP: "1.3", or "1.2" for old clients. QUIC always
	// uses 1.3.
	MinVersion string `toml:"min_version" default:"1.3" oneof:"1.2|1.3"`
}

// Validate reports settings that cannot work.
func (c Config) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(c))
	p.Require((c.CertificateFile == "") == (c.KeyFile == ""), "{certificate_file} and {key_file} belong together; set both or none")
	p.Require(c.CertificateFile != "" || c.Generate,
		"there is no certificate: set {certificate_file} and {key_file}, or {generate} = true to have one made")
	p.Require(c.ClientAuth == ClientAuthNone || c.ClientCAFile != "" || c.CertificateFile == "",
		"{client_auth} = %q needs {client_ca_file}, the authority that client certificates are verified with", c.ClientAuth)
	return p.Err()
}

// Files returns the files a server loads. in resolves relative paths.
func (c Config) Files(in func(path string) string) ServerFiles {
	f := ServerFiles{CertFile: in(c.CertificateFile), KeyFile: in(c.KeyFile), ClientCAFile: in(c.ClientCAFile),
		ClientAuth: c.ClientAuth, MinVersion: tls.VersionTLS13}
	if c.MinVersion == "1.2" {
		f.MinVersion = tls.VersionTLS12
	}
	return f
}
