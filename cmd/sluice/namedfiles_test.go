package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/internal/certs"
)

func TestFilesThatSettingsName(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return in(name)
	}
	if _, _, err := certs.Init(dir, "ca", 0); err != nil {
		t.Fatal(err)
	}
	for name, life := range map[string]time.Duration{"a": 0, "b": 0, "soon": 24 * time.Hour} {
		if _, _, err := certs.IssueFor(dir, certs.Request{Name: name, Server: true, SANs: []string{"127.0.0.1", "a.example.org"}, Life: life}, dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := certs.IssueFor(dir, certs.Request{Name: "app", Client: true}, dir); err != nil {
		t.Fatal(err)
	}
	file := write("file", "x")
	good := func() config.Broker {
		b := config.DefaultBroker()
		b.Broker.DataDirectory = in("data")
		b.TLS.CertificateFile, b.TLS.KeyFile, b.TLS.ClientCAFile, b.TLS.ClientAuth = in("a.crt"), in("a.key"), in("ca.crt"), certs.ClientAuthRequired
		return b
	}
	for name, c := range map[string]struct {
		change func(b *config.Broker)
		env    string
		wrong  string // part of the error; empty: none
		warns  string // part of the only warning; empty: none
	}{
		"all is right":            {change: func(*config.Broker) {}},
		"other controllers":       {change: func(b *config.Broker) { b.Metadata.RaftAddress = ":9095" }, wrong: "metadata.raft_address: it must be empty"},
		"no certificate":          {change: func(b *config.Broker) { b.TLS.CertificateFile = in("z.crt") }, wrong: "tls.certificate_file: open " + in("z.crt")},
		"no key":                  {change: func(b *config.Broker) { b.TLS.KeyFile = in("z.key") }, wrong: "tls.key_file: open " + in("z.key")},
		"the key is a directory":  {change: func(b *config.Broker) { b.TLS.KeyFile = dir }, wrong: "tls.key_file: " + dir + " is a directory"},
		"another key":             {change: func(b *config.Broker) { b.TLS.KeyFile = in("b.key") }, wrong: "tls.certificate_file and tls.key_file"},
		"rubbish for a CA":        {change: func(b *config.Broker) { b.TLS.ClientCAFile = file }, wrong: "tls.client_ca_file: " + file + " has no certificate"},
		"a key for a CA":          {change: func(b *config.Broker) { b.TLS.ClientCAFile = in("ca.key") }, wrong: "is a private key"},
		"no CA":                   {change: func(b *config.Broker) { b.TLS.ClientCAFile = in("z.crt") }, wrong: "tls.client_ca_file: open"},
		"no CA, own certificate":  {change: func(b *config.Broker) { b.TLS.CertificateFile, b.TLS.KeyFile, b.TLS.ClientCAFile = "", "", in("z.crt") }, wrong: "tls.client_ca_file: open"},
		"relative names":          {change: func(b *config.Broker) { b.TLS.KeyFile = "a.key" }, wrong: "tls.key_file: open " + in("data/a.key")},
		"it ends soon":            {change: func(b *config.Broker) { b.TLS.CertificateFile, b.TLS.KeyFile = in("soon.crt"), in("soon.key") }, warns: in("soon.crt") + ": a certificate in it expires on"},
		"of a client":             {change: func(b *config.Broker) { b.TLS.CertificateFile, b.TLS.KeyFile = in("app.crt"), in("app.key") }, warns: "no client will trust the broker"},
		"a name that is there":    {change: func(b *config.Broker) { b.Network.AdvertisedHost = "a.example.org" }},
		"a name that is not":      {change: func(b *config.Broker) { b.Network.AdvertisedHost = "b.example.org" }, warns: "network.advertised_host: clients are told to connect to b.example.org"},
		"an address that is not":  {change: func(b *config.Broker) { b.Network.QUICListen = "192.0.2.1:9092" }, warns: "network.quic_listen: clients are told to connect to 192.0.2.1"},
		"data in a file":          {change: func(b *config.Broker) { b.Broker.DataDirectory = file }, wrong: "broker.data_directory: " + file + " is a file"},
		"data below a file":       {change: func(b *config.Broker) { b.Broker.DataDirectory = filepath.Join(file, "a", "b") }, wrong: "broker.data_directory: " + file + " is a file"},
		"the WAL in a file":       {change: func(b *config.Broker) { b.WAL.Directory = file }, wrong: "wal.directory: " + file},
		"the metadata in a file":  {change: func(b *config.Broker) { b.Metadata.Directory = file }, wrong: "metadata.directory: " + file},
		"the guard below a file":  {change: func(b *config.Broker) { b.Metadata.Guard = filepath.Join(file, "g") }, wrong: "metadata.guard: " + file},
		"objects in a file":       {change: func(b *config.Broker) { b.ObjectStorage.URL = "file://" + file }, wrong: "object_storage.url: " + file},
		"a mount that is missing": {change: func(b *config.Broker) { b.WAL.Directory = in("mnt/nvme/wal") }, warns: "wal.directory: " + in("mnt/nvme/wal") + " does not exist"},
		"credentials of S3": {change: func(b *config.Broker) { b.ObjectStorage.URL = "s3://b?region=r" }, env: "AWS_SHARED_CREDENTIALS_FILE",
			wrong: "AWS_SHARED_CREDENTIALS_FILE of the environment"},
		"credentials of Google":  {change: func(b *config.Broker) { b.ObjectStorage.URL = "gs://b" }, env: "GOOGLE_APPLICATION_CREDENTIALS", wrong: "GOOGLE_APPLICATION_CREDENTIALS"},
		"credentials of Azure":   {change: func(b *config.Broker) { b.ObjectStorage.URL = "azblob://b" }, env: "AZURE_FEDERATED_TOKEN_FILE", wrong: "AZURE_FEDERATED_TOKEN_FILE"},
		"credentials of another": {change: func(b *config.Broker) { b.ObjectStorage.URL = "gs://b" }, env: "AWS_SHARED_CREDENTIALS_FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			b := good()
			c.change(&b)
			n := newNamed(func(name string) string {
				if name == c.env {
					return in("z.credentials")
				}
				return ""
			})
			n.broker(b)
			if err := errors.Join(n.errs...); (err == nil) != (c.wrong == "") || err != nil && (!strings.Contains(err.Error(), c.wrong) || len(n.errs) != 1) {
				t.Errorf("wrong: %v, want %q", err, c.wrong)
			}
			if (len(n.warnings) == 0) != (c.warns == "") || len(n.warnings) > 1 || c.warns != "" && !strings.Contains(n.warnings[0], c.warns) {
				t.Errorf("warnings: %q, want %q", n.warnings, c.warns)
			}
			if _, err := os.Stat(in("data")); err == nil {
				t.Error("it has made the data directory")
			}
		})
	}
	n := newNamed(os.Getenv)
	k := config.DefaultController()
	k.Controller.DataDirectory = file
	n.controller(k)
	if err := errors.Join(n.errs...); err == nil || !strings.Contains(err.Error(), "controller.data_directory: "+file) {
		t.Errorf("a controller: %v", err)
	}
}
