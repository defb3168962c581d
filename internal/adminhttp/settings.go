package adminhttp

import "github.com/sluicemq/sluice/internal/setting"

// Settings are the [admin] section of a settings file.
type Settings struct {
	// Address of the HTTP server for metrics and health; that of a broker also has topology
	// and limits. It has no authentication: keep it off untrusted networks. Empty disables it.
	Listen string `toml:"listen" default:"127.0.0.1:9642"`
	// Further host names and addresses that requests may be made to, separated by commas.
	// Loopback, listen, the network.advertised_host of a broker and the address that a
	// connection arrived at are always allowed. Everything else is refused, which defeats DNS
	// rebinding by web pages.
	Hosts string `toml:"hosts"`
	// Serves profiles under /debug/pprof/, one at a time, for at most 60 s each. Heap dumps can
	// contain records, and profiling costs CPU time.
	Debug bool `toml:"debug"`
}

// Validate reports settings that cannot work.
func (s Settings) Validate() error {
	var p setting.Problems
	p.Add(setting.Check(s))
	p.Address("listen", s.Listen)
	_, err := ParseHosts(s.Hosts)
	p.Require(err == nil, "{hosts}: %v", err)
	return p.Err()
}
