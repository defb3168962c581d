package main

import (
	"net"
	"net/url"
	"path/filepath"

	"github.com/sluicemq/sluice/cmd/sluice/node"
	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/ingress/admission"
	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/stages/upload"
)

// nodeConfig converts the settings of a file to the configurations of the node's parts. It resolves
// relative paths and derives settings that depend on others. TLS is left to certificates.
func nodeConfig(c config.Broker) (node.Config, error) {
	dir, err := filepath.Abs(c.Broker.DataDirectory)
	if err != nil {
		return node.Config{}, err
	}
	n := node.Config{
		Settings:  c,
		Cluster:   clusterConfig(c.Metadata, dir),
		Storage:   storageConfig(c, dir),
		Listeners: node.ListenersConfig{Config: c.Network.Config, Rack: c.Broker.Rack, QUIC: c.Network.QUIC, MemoryBytes: c.Memory.ConnectionBytes},
		API:       kafka.APIConfig{TopicsConfig: c.Topics, ReplicationConfig: c.Replication, RequestsConfig: c.Requests, ProducerIDsConfig: c.Producers.IDs},
		Fetch:     c.Fetch,
		Admin:     adminConfig(c.Admin.Settings, c.Network.AdvertisedHost),
	}
	n.Fetch.BudgetBytes, n.Fetch.WaitingBytes = c.Memory.ResponseBudgetBytes, admission.Waiting(c.Memory.RequestBudgetBytes)
	n.Cluster.Witness = filepath.Join(n.Storage.WALGuard, "metadata")
	n.Cluster.ProducerExpiration, n.Cluster.ID = c.Producers.Expiration, c.Broker.ID
	return n, nil
}

// under returns path if it is absolute or empty, otherwise dir joined with path.
func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func clusterConfig(c consensus.Config, dir string) consensus.Config {
	c.Directory, c.Guard = under(dir, c.Directory), under(dir, c.Guard)
	return c
}

func storageConfig(c config.Broker, dir string) node.StorageConfig {
	s := node.StorageConfig{
		WALDirectory: under(dir, c.WAL.Directory),
		WALGuard:     under(dir, c.WAL.Directory) + ".guard",
		ObjectURL:    c.ObjectStorage.URL,
		Objects:      c.ObjectStorage.Store,
		Upload: upload.Config{CutConfig: c.WAL.Upload, ObjectConfig: c.ObjectStorage.Upload, ObjectMemory: c.UploadMemory(),
			ProducerExpiration: c.Producers.Expiration, SectionBytes: node.SectionBytes(c.Producers.MemoryBytes)},
		Compact: c.Compaction,
	}
	if s.ObjectURL == "" {
		s.ObjectURL = fileURL(filepath.Join(dir, "objects"))
	}
	s.Objects.MinFreeBytes = c.WAL.Disk.MinFreeBytes / 2 // below the WAL's, so that uploads can free space
	s.Compact.PrepareTTL = c.ObjectStorage.Upload.PrepareTTL
	return s
}

// fileURL returns the URL of a directory.
func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// adminConfig makes the admin server answer requests for the host it listens on, the advertised
// host and those of admin.hosts.
func adminConfig(a adminhttp.Settings, advertised string) adminhttp.Config {
	c := adminhttp.Config{Debug: a.Debug, Build: adminhttp.ReadBuild(version)}
	c.Hosts, _ = adminhttp.ParseHosts(a.Hosts) // already validated
	if host, _, err := net.SplitHostPort(a.Listen); err == nil {
		c.Hosts = append(c.Hosts, host)
	}
	if advertised != "" {
		c.Hosts = append(c.Hosts, advertised)
	}
	return c
}

// tlsFiles returns the TLS files named by settings.
func tlsFiles(c config.Broker) certs.ServerFiles {
	return c.TLS.Files(func(path string) string { return under(c.Broker.DataDirectory, path) })
}

// certificates sets the TLS files, and generates a certificate if the settings say so.
func certificates(c config.Broker, d *node.ListenersConfig) error {
	d.TLS = tlsFiles(c)
	if c.TLS.CertificateFile != "" {
		return nil
	}
	var hosts []string
	for _, address := range []string{c.Network.QUICListen, c.Network.TCPListen} {
		if host, _, err := net.SplitHostPort(address); err == nil {
			hosts = append(hosts, host)
		}
	}
	files, err := certs.Ensure(filepath.Join(c.Broker.DataDirectory, "tls"), append(hosts, c.Network.AdvertisedHost))
	if err != nil {
		return err
	}
	d.TLS.CertFile, d.TLS.KeyFile = files.Cert, files.Key
	if d.TLS.ClientCAFile == "" {
		d.TLS.ClientCAFile = files.CA
	}
	return nil
}
