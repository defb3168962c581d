package objectstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/memblob"  // mem://
)

// Option changes how a Store is opened.
type Option func(*options)

type options struct {
	cfg Config
	reg prometheus.Registerer
	log *slog.Logger
}

// WithConfig sets the settings; the default is DefaultConfig.
func WithConfig(cfg Config) Option { return func(o *options) { o.cfg = cfg } }

// WithRegistry registers the metrics.
func WithRegistry(reg prometheus.Registerer) Option { return func(o *options) { o.reg = reg } }

// WithLogger logs changes of credentials.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// Open opens the store at a URL; doc.go lists the forms. It sends no request to
// the store; Check does.
func Open(ctx context.Context, rawURL string, opts ...Option) (*Store, error) {
	o := options{cfg: DefaultConfig(), reg: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.cfg.Validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("object store URL %q: %w", rawURL, err)
	}
	m := newMetrics(o.reg)
	s := &Store{cfg: o.cfg, log: o.log, metrics: m, bandwidth: newBandwidth(o.cfg.UploadBytesPerSecond),
		limit:   newLimiter(o.cfg.MinRequests, o.cfg.MaxRequests, m),
		backoff: &backoff{o.cfg.Attempts, o.cfg.FirstPause, o.cfg.LastPause, m}}
	if s.bucket, err = s.open(ctx, u); err != nil {
		return nil, fmt.Errorf("object store %q: %w", rawURL, err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	base := newBase(s.cfg)
	t := &transport{base: base, limit: s.limit, bandwidth: s.bandwidth, stall: s.cfg.Stall, metrics: s.metrics}
	s.idle = base.CloseIdleConnections
	if u.Scheme != "file" && u.Scheme != "mem" && u.Host == "" {
		return nil, fmt.Errorf("the URL must be %s", forms)
	}
	if u.Scheme == "file" && (u.Host != "" || u.Path == "") { // file://a/b is /b of a machine named a
		return nil, errors.New("a directory needs three slashes and its whole path: file:///DIRECTORY")
	}
	switch u.Scheme {
	case "file":
		return s.openDirectory(ctx, u)
	case "mem":
		s.local = true
		return blob.OpenBucket(ctx, u.String())
	case "s3":
		return s.openS3(ctx, u, t.client(), s3Retryer{s.backoff})
	case "gs":
		t.counts = true
		return openGCS(ctx, u, t, s.backoff, s.log)
	case "azblob":
		bucket, err := openAzure(ctx, u, t.client(), azurePolicy{s.backoff})
		if err == nil {
			s.one = azureOnePut(bucket)
		}
		return bucket, err
	}
	return nil, fmt.Errorf("the URL must be %s", forms)
}

const forms = "s3://BUCKET, gs://BUCKET, azblob://CONTAINER, file:///DIRECTORY or mem://"

func (s *Store) openDirectory(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	s.local = true
	s.dir = filepath.FromSlash(u.Path)
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return nil, err
	}
	q := u.Query()
	q.Set("metadata", "skip")
	q.Set("no_tmp_dir", "true")
	u.RawQuery = q.Encode()
	return blob.OpenBucket(ctx, u.String())
}
