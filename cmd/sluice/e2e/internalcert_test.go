package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// The same commands manage the internal CA of the nodes and the CA of the clients, and do not mix
// them up. A broker does not accept the internal CA as its client CA.
func TestInternalCertificates(t *testing.T) {
	nodes, clients := filepath.Join(t.TempDir(), "nodes"), filepath.Join(t.TempDir(), "clients")
	made(t, "init", "--internal", "--dir", nodes)
	made(t, "init", "--dir", clients)
	one := made(t, "issue", "--node", "1", "--role", "broker,controller", "--dir", nodes)
	if fmt.Sprint(one["sans"]) != "[sluice://broker/1 sluice://controller/1]" || filepath.Base(one["certificate"].(string)) != "node-1.crt" {
		t.Errorf("issued is %v", one)
	}
	seven := made(t, "issue", "--node", "7", "--role", "broker", "--dir", nodes)
	file := seven["certificate"].(string)
	shown := made(t, "show", file)
	if shown["chain_verified"] != true || shown["key_matches"] != true || fmt.Sprint(shown["uses"]) != "[server client]" {
		t.Errorf("shown is %v", shown)
	}
	if renewed := made(t, "renew", file); fmt.Sprint(renewed["sans"]) != "[sluice://broker/7]" {
		t.Errorf("renewed is %v", renewed)
	}
	for says, args := range map[string][]string{
		"broker-7.key exists":          {"issue", "--node", "7", "--role", "broker", "--dir", nodes},
		"sluice cert init --internal`": {"issue", "--node", "7", "--role", "broker", "--dir", clients},
		"is the internal CA":           {"issue", "app", "--client", "--dir", nodes},
		"sluice cert issue --node`":    {"issue", "app", "--client", "--san", "sluice://controller/1", "--dir", clients},
		`role "admin"`:                 {"issue", "--node", "7", "--role", "admin", "--dir", nodes},
	} {
		if _, errs, code := alone(t, append([]string{"cert"}, args...)...); code != 1 || !strings.Contains(errs, says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("sluice cert %s: exit %d: %s", strings.Join(args, " "), code, errs)
		}
	}
	for says, args := range map[string][]string{
		"leave seven out":     {"issue", "seven", "--node", "7", "--role", "broker"},
		"give both --node ID": {"issue", "--node", "7"},
		"nodes have only":     {"issue", "--node", "7", "--role", "broker", "--san", "localhost"},
		"give the NAME":       {"issue", "--client"},
	} {
		if _, errs, code := alone(t, append([]string{"cert", "--dir", nodes}, args...)...); code != 2 || !strings.Contains(errs, says) {
			t.Errorf("sluice cert %s: exit %d: %s", strings.Join(args, " "), code, errs)
		}
	}
	made(t, "issue", "broker", "--server", "--san", "localhost", "--dir", clients)
	broken := settings(t, fmt.Sprintf(`
[broker]
data_directory = %q
[tls]
certificate_file = %q
key_file = %q
client_ca_file = %q
client_auth = "required"
`, t.TempDir(), filepath.Join(clients, "broker.crt"), filepath.Join(clients, "broker.key"), filepath.Join(nodes, "ca.crt")))
	if _, errs, code := alone(t, "broker", "--config", broken); code != 1 || !strings.Contains(errs, "is the internal CA of nodes, and clients need one of their own") {
		t.Errorf("a broker with the nodes' CA for clients: exit %d: %s", code, errs)
	}
}
