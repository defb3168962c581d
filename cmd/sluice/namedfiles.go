package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/certs"
)

// named checks the files and directories named by settings. It changes nothing.
type named struct {
	getenv   func(string) string
	errs     []error
	warnings []string
	seen     map[string]bool // directories
}

func newNamed(getenv func(string) string) *named {
	return &named{getenv: getenv, seen: make(map[string]bool)}
}

func (n *named) wrong(key string, err error) { n.errs = append(n.errs, fmt.Errorf("%s: %w", key, err)) }

func (n *named) warn(format string, args ...any) {
	n.warnings = append(n.warnings, fmt.Sprintf(format, args...))
}

// broker checks what the settings of a broker name.
func (n *named) broker(b config.Broker) {
	dir := b.Broker.DataDirectory
	n.directory("broker.data_directory", dir)
	n.below(dir, "wal.directory", b.WAL.Directory)
	n.metadata(b.Metadata, dir)
	n.store(b.ObjectStorage.URL)
	n.tls(b)
}

// controller checks what the settings of a controller name.
func (n *named) controller(c config.Controller) {
	n.directory("controller.data_directory", c.Controller.DataDirectory)
	n.metadata(c.Metadata, c.Controller.DataDirectory)
}

func (n *named) metadata(m consensus.Config, dir string) {
	n.below(dir, "metadata.directory", m.Directory)
	n.below(dir, "metadata.guard", m.Guard)
	if m.RaftAddress != "" {
		n.wrong("metadata.raft_address", errors.New("it must be empty in this version, in which a settings file cannot name the certificates that controllers need"))
	}
}

// below checks a directory that is usually inside the data directory. It is not checked if the
// data directory does not exist yet.
func (n *named) below(data, key, path string) {
	if !filepath.IsAbs(path) {
		if info, err := os.Stat(data); err != nil || !info.IsDir() {
			return
		}
	}
	n.directory(key, under(data, path))
}

// directory checks a directory, or where it would be created.
func (n *named) directory(key, path string) {
	if path == "" {
		return
	}
	there, err := existing(path)
	if err != nil {
		n.wrong(key, err)
		return
	}
	if there != filepath.Clean(path) && there != filepath.Dir(filepath.Clean(path)) {
		n.warn("%s: %s does not exist and would be created, starting below %s; is it spelled correctly and mounted?", key, path, there)
	}
	if !n.seen[there] && unix.Access(there, unix.W_OK|unix.X_OK) != nil {
		n.warn("%s: the user of this check cannot write to %s; the user of the broker must be able to", key, there)
	}
	n.seen[there] = true
}

// existing returns the directory, or its nearest existing parent.
func existing(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is a file, but must be a directory", path)
		case err == nil:
			return path, nil
		case errors.Is(err, unix.ENOTDIR): // a parent is a file
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return "", err
		}
	}
}

// credentials lists the environment variables that name credential files, by kind of store.
var credentials = map[string][]string{
	"s3":     {"AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE"},
	"gs":     {"GOOGLE_APPLICATION_CREDENTIALS"},
	"azblob": {"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"},
}

// store checks the object store's location and credentials.
func (n *named) store(rawURL string) {
	u, err := url.Parse(rawURL)
	if err != nil {
		n.wrong("object_storage.url", err)
		return
	}
	if u.Scheme == "file" {
		n.directory("object_storage.url", filepath.FromSlash(u.Path))
	}
	for _, name := range credentials[u.Scheme] {
		if file := n.getenv(name); file != "" {
			n.readable(name+" of the environment, for object_storage.url", file)
		}
	}
}

// readable reports whether a file is readable, and records an error if not.
func (n *named) readable(key, file string) bool {
	f, err := os.Open(file)
	if err == nil {
		defer f.Close()
		var info os.FileInfo
		if info, err = f.Stat(); err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a directory, but must be a file", file)
		}
	}
	if err != nil {
		n.wrong(key, err)
	}
	return err == nil
}

// tls checks certificates as a start does.
func (n *named) tls(b config.Broker) {
	f := tlsFiles(b)
	both := b.TLS.CertificateFile != ""
	if both {
		cert, key := n.readable("tls.certificate_file", f.CertFile), n.readable("tls.key_file", f.KeyFile)
		both = cert && key
	}
	cas := b.TLS.ClientCAFile != "" && n.readable("tls.client_ca_file", f.ClientCAFile)
	if cas {
		if _, err := certs.Read(f.ClientCAFile); err != nil {
			n.wrong("tls.client_ca_file", err)
			cas = false
		}
	}
	if !both {
		return
	}
	if !cas {
		f.ClientAuth = certs.ClientAuthNone // already reported
	}
	s, err := certs.NewServer(f, slog.New(slog.DiscardHandler))
	if err != nil {
		n.wrong("tls.certificate_file and tls.key_file", err)
		return
	}
	for _, st := range s.Status() {
		if d := time.Until(st.Ends); d < 14*24*time.Hour {
			n.warn("%s: a certificate in it expires on %s", st.File, st.Ends.Format(time.RFC3339))
		}
	}
	if err := s.Unproven(); err != nil {
		n.warn("%s: %v; no client will trust the broker", f.CertFile, err)
		return
	}
	n.names(b, f.CertFile)
}

// names checks that the certificate is valid for the advertised name.
func (n *named) names(b config.Broker, certFile string) {
	host, key := b.Network.AdvertisedHost, "network.advertised_host"
	for _, l := range []struct{ key, address string }{{"network.quic_listen", b.Network.QUICListen}, {"network.tcp_listen", b.Network.TCPListen}} {
		h, _, err := net.SplitHostPort(l.address)
		if ip := net.ParseIP(h); host == "" && err == nil && ip != nil && !ip.IsUnspecified() {
			host, key = h, l.key
		}
	}
	all, err := certs.Read(certFile)
	if err != nil || host == "" {
		return
	}
	if all[0].VerifyHostname(host) != nil {
		n.warn("%s: clients are told to connect to %s, which is not a name in %s (%s); they will not trust the broker", key, host, certFile,
			or(strings.Join(certs.SANs(all[0]), ", "), "it has no names"))
	}
}
