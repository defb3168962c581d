package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/objectstore"
)

// backend is one kind of store, with its server running.
type backend struct {
	name  string
	url   string
	proxy *proxy // nil for stores without a server
	// commits reports whether a request makes an object visible.
	commits func(*http.Request) bool
	// wrongBucket is url with a bucket that does not exist.
	wrongBucket string
	one         bool // objects are stored with PutSized
}

// fast is a config whose pauses do not make tests slow.
func fast() objectstore.Config {
	cfg := objectstore.DefaultConfig()
	cfg.PartBytes = 5 << 20
	cfg.PartConcurrency = 2
	cfg.FirstPause, cfg.LastPause = time.Millisecond, 20*time.Millisecond
	return cfg
}

func (b *backend) open(t *testing.T, cfg objectstore.Config, opts ...objectstore.Option) *store {
	t.Helper()
	s, err := objectstore.Open(context.Background(), b.url, append(opts, objectstore.WithConfig(cfg))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &store{s, b.one}
}

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }

const bucket = "sluice-test"

// startS3 runs versitygw on a temporary directory.
func startS3(t *testing.T) *backend {
	addr := gateway(t, "http")
	p := newProxy(t)
	p.target = &url.URL{Scheme: "http", Host: addr}
	query := "?endpoint=http://" + p.addr() + "&use_path_style=true"
	return &backend{name: "s3", url: "s3://" + bucket + query, wrongBucket: "s3://no-such-bucket" + query, proxy: p,
		commits: func(r *http.Request) bool {
			q := r.URL.Query()
			return r.Method == http.MethodPut && !q.Has("partNumber") || r.Method == http.MethodPost && q.Has("uploadId")
		}}
}

// startS3TLS runs versitygw with TLS, over which checksums follow the contents.
func startS3TLS(t *testing.T) *backend {
	return &backend{name: "s3 tls", url: "s3://" + bucket + "?endpoint=https://" + gateway(t, "https") + "&use_path_style=true"}
}

// gateway runs versitygw with a bucket and returns its address.
func gateway(t *testing.T, scheme string) (addr string) {
	binary := os.Getenv("SLUICE_VERSITYGW")
	if binary == "" {
		t.Fatal("SLUICE_VERSITYGW does not name the versitygw binary; run `make stores`")
	}
	const id, secret = "tester", "of-no-value"
	addr = freeAddr(t)
	args := []string{"--port", addr}
	if scheme == "https" {
		files, err := certs.Ensure(t.TempDir(), []string{"127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("SSL_CERT_FILE", files.CA) // read once: nothing before in this process uses TLS
		args = append(args, "--cert", files.Cert, "--key", files.Key)
	}
	start(t, addr, []string{"ROOT_ACCESS_KEY=" + id, "ROOT_SECRET_KEY=" + secret}, binary, append(args, "posix", t.TempDir())...)
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(k, v)
	}
	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String(scheme + "://" + addr), UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		})})
	if _, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	return addr
}

// startGCS runs fake-gcs-server in this process. The server tells clients the address at
// which to continue an upload; that must be the proxy's.
func startGCS(t *testing.T) *backend {
	p := newProxy(t)
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true,
		ExternalURL: p.URL, StorageRoot: t.TempDir(), Writer: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucket})
	front := httptest.NewServer(server.HTTPHandler())
	t.Cleanup(front.Close)
	p.target = &url.URL{Scheme: "http", Host: front.Listener.Addr().String()}
	query := "?anonymous=true&endpoint=" + p.URL + "/storage/v1/"
	return &backend{name: "gcs", url: "gs://" + bucket + query, wrongBucket: "gs://no-such-bucket" + query, proxy: p,
		commits: func(r *http.Request) bool {
			q := r.URL.Query()
			return r.Method == http.MethodPost && q.Get("uploadType") == "multipart" ||
				r.Method != http.MethodGet && q.Has("upload_id") && !strings.HasSuffix(r.Header.Get("Content-Range"), "/*")
		}}
}

// startAzure runs Azurite with an account for this test alone.
func startAzure(t *testing.T) *backend {
	script := os.Getenv("SLUICE_AZURITE")
	if script == "" {
		fmt.Fprintln(os.Stderr, "NOT RUN: Azure Blob Storage. SLUICE_AZURITE does not name Azurite; `make stores` installs it where npm is to be had.")
		t.Skip("NOT RUN: Azurite is not installed")
	}
	secret := make([]byte, 64)
	rand.Read(secret)
	const account = "sluicetest"
	key := base64.StdEncoding.EncodeToString(secret)
	addr := freeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	start(t, addr, []string{"AZURITE_ACCOUNTS=" + account + ":" + key}, script, "--blobHost", host, "--blobPort", port,
		"--location", t.TempDir(), "--silent", "--disableTelemetry")
	t.Setenv("AZURE_STORAGE_ACCOUNT", account)
	t.Setenv("AZURE_STORAGE_KEY", key)
	shared, err := azblob.NewSharedKeyCredential(account, key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential("http://"+addr+"/"+account+"/"+bucket, shared, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t)
	p.target = &url.URL{Scheme: "http", Host: addr}
	query := "?protocol=http&domain=" + p.addr()
	return &backend{name: "azure", url: "azblob://" + bucket + query, wrongBucket: "azblob://no-such-bucket" + query, proxy: p,
		commits: func(r *http.Request) bool {
			c := r.URL.Query().Get("comp")
			return r.Method == http.MethodPut && (c == "" || c == "blocklist")
		}}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a server until the test ends, and returns once it accepts connections.
func start(t *testing.T, addr string, env []string, name string, args ...string) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	deadline := time.After(60 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			out, _ := os.ReadFile(log.Name())
			t.Fatalf("%s ended: %v\n%s", name, err, out)
		case <-deadline:
			t.Fatalf("%s does not accept connections on %s", name, addr)
		case <-tick.C:
		}
	}
}
