package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/sluicemq/sluice/cmd/sluice/node"
	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/setting"
)

// effect is everything that is derived from the settings.
type effect struct {
	node    node.Config
	err     string
	logged  string
	handler string
}

func effectOf(t *testing.T, c config.Broker) effect {
	t.Helper()
	var e effect
	if err := c.Validate(); err != nil {
		e.err = err.Error()
		return e
	}
	var err error
	if e.node, err = nodeConfig(c); err != nil {
		t.Fatalf("what config accepts the parts refuse: %v", err)
	}
	if err := certificates(c, &e.node.Listeners); err != nil {
		t.Fatal(err)
	}
	log, err := (&cli{}).logger(c.Log)
	if err != nil {
		t.Fatal(err)
	}
	e.handler = fmt.Sprintf("%T", log.Handler())
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		e.logged += fmt.Sprint(log.Enabled(context.Background(), l), " ")
	}
	return e
}

// others are valid values besides the defaults, for settings where adding one to a number does
// not work.
var others = map[string]any{
	"tracing.otlp_endpoint":                  "http://127.0.0.1:4317",
	"broker.data_directory":                  "", // set by the test
	"broker.rack":                            "zone-b",
	"admin.hosts":                            "queue.example.com",
	"network.quic_listen":                    "127.0.0.2:9092",
	"network.tcp_listen":                     "127.0.0.2:9092",
	"network.tcp_plaintext":                  string(listener.PlaintextNever),
	"network.advertised_host":                "broker.example.com",
	"tls.certificate_file":                   "other.crt",
	"tls.key_file":                           "other.key",
	"tls.client_ca_file":                     "clients.crt",
	"tls.client_auth":                        string(certs.ClientAuthOptional),
	"tls.min_version":                        "1.2",
	"wal.directory":                          "other",
	"wal.segment_size_bytes":                 int64(64 << 20),
	"wal.io_engine":                          "pwrite",
	"object_storage.url":                     "mem://",
	"network.max_request_bytes":              int64(32 << 20),
	"fetch.max_bytes":                        int64(1 << 20),
	"metadata.directory":                     "other",
	"metadata.guard":                         "other.guard",
	"metadata.raft_address":                  "127.0.0.1:9095",
	"admin.listen":                           "",
	"log.level":                              "error",
	"log.format":                             "json",
	"topics.default_partitions":              int64(3),
	"object_storage.max_requests":            int64(65),
	"stages.batch.target_bytes":              int64(1),
	"network.max_control_request_bytes":      int64(1 << 20),
	"object_storage.upload_bytes_per_second": int64(1 << 20),
}

// Every key of a file is used: changing it changes the broker, or is refused.
func TestEverySettingHasAnEffect(t *testing.T) {
	base := config.DefaultBroker()
	base.Broker.DataDirectory = t.TempDir()
	others["broker.data_directory"] = filepath.Join(t.TempDir(), "other")
	want := effectOf(t, base)
	if want.err != "" {
		t.Fatal(want.err)
	}
	for k := range config.Keys(base) {
		t.Run(k.Name, func(t *testing.T) {
			c, err := config.ParseBroker("base", []byte(config.Format(with(t, base, k))))
			if err != nil {
				return // the other value is refused, so it is read
			}
			if reflect.DeepEqual(effectOf(t, c), want) {
				t.Errorf("%s is read by nobody", k.Name)
			}
		})
	}
}

// with returns the settings with another value of one.
func with(t *testing.T, c config.Broker, k config.Key) config.Broker {
	t.Helper()
	other, ok := others[k.Name]
	if !ok {
		switch v := k.Value.(type) {
		case bool:
			other = !v
		case int64:
			other = v + 1
		case float64:
			other = v / 2
		default:
			t.Fatalf("no other value for %s is known; add one", k.Name)
		}
	}
	for f := range setting.Fields(&c) {
		if f.Key != k.Name {
			continue
		}
		if err := f.Set(other); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "tls")
	for name, test := range map[string]struct {
		tls  certs.Config
		want certs.ServerFiles
	}{
		"made": {certs.Config{Generate: true, ClientAuth: "required", MinVersion: "1.3"}, certs.ServerFiles{CertFile: filepath.Join(made, "broker.crt"),
			KeyFile: filepath.Join(made, "broker.key"), ClientCAFile: filepath.Join(made, "ca.crt"), ClientAuth: certs.ClientAuthRequired, MinVersion: tls.VersionTLS13}},
		"given": {certs.Config{Generate: true, CertificateFile: "a.crt", KeyFile: "/k/a.key", ClientCAFile: "c.crt", ClientAuth: "none", MinVersion: "1.2"},
			certs.ServerFiles{CertFile: filepath.Join(dir, "a.crt"), KeyFile: "/k/a.key", ClientCAFile: filepath.Join(dir, "c.crt"),
				ClientAuth: certs.ClientAuthNone, MinVersion: tls.VersionTLS12}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.DefaultBroker()
			c.Broker.DataDirectory, c.TLS = dir, test.tls
			var d node.ListenersConfig
			if err := certificates(c, &d); err != nil || d.TLS != test.want {
				t.Errorf("%+v, %v", d.TLS, err)
			}
		})
	}
}

// Beyond loopback TCP uses TLS, unless the settings explicitly say otherwise.
func TestPlaintext(t *testing.T) {
	for _, test := range []struct {
		setting listener.Plaintext
		listen  string
		want    bool
	}{
		{listener.PlaintextLoopback, "127.0.0.1:9092", true},
		{listener.PlaintextLoopback, "[::1]:9092", true},
		{listener.PlaintextLoopback, "localhost:9092", true},
		{listener.PlaintextLoopback, "0.0.0.0:9092", false},
		{listener.PlaintextLoopback, ":9092", false},
		{listener.PlaintextLoopback, "10.0.0.1:9092", false},
		{listener.PlaintextLoopback, "broker.example.com:9092", false},
		{listener.PlaintextNever, "127.0.0.1:9092", false},
		{listener.PlaintextEverywhere, "0.0.0.0:9092", true},
	} {
		if got := (listener.Config{TCPPlaintext: test.setting, TCPListen: test.listen}).PlaintextTCP(); got != test.want {
			t.Errorf("%s on %s: %t", test.setting, test.listen, got)
		}
	}
}
