package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/memblob"  // mem://
	"gocloud.dev/gcerrors"

	"github.com/sluicemq/sluice/internal/object"
)

var (
	// ErrExists: an object with this key is there already.
	ErrExists = errors.New("object exists")
	// ErrNotFound: there is no object with this key.
	ErrNotFound = errors.New("object not found")
)

// Store holds immutable objects. It is safe for concurrent use.
type Store struct {
	bucket *blob.Bucket
	dir    string // of file://, to sync; empty for others
}

// Open opens the store at a URL: file:///directory, which is made if it is not
// there, or mem://.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("object store URL %q: %w", rawURL, err)
	}
	s := &Store{}
	if u.Scheme == "file" {
		s.dir = filepath.FromSlash(u.Path)
		if err := os.MkdirAll(s.dir, 0o750); err != nil {
			return nil, fmt.Errorf("object store directory: %w", err)
		}
		q := u.Query()
		q.Set("metadata", "skip")
		q.Set("no_tmp_dir", "true")
		u.RawQuery = q.Encode()
	}
	if s.bucket, err = blob.OpenBucket(ctx, u.String()); err != nil {
		return nil, fmt.Errorf("object store %q: %w; the URL must begin with file:// or mem://", rawURL, err)
	}
	return s, nil
}

// Put stores what r holds under key, durably, unless the key exists
// (ErrExists). After any other error the object may or may not be there.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	err := s.bucket.Upload(ctx, key, r, &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: true})
	if err != nil {
		return mapped("put", key, err)
	}
	if s.dir == "" {
		return nil
	}
	return s.sync(key)
}

// sync makes the file of key durable, and each directory down to it.
func (s *Store) sync(key string) error {
	path := filepath.Join(s.dir, filepath.FromSlash(key))
	for {
		if err := fsync(path); err != nil {
			return fmt.Errorf("object %s: %w", key, err)
		}
		if path == s.dir || !strings.HasPrefix(path, s.dir) {
			return nil
		}
		path = filepath.Dir(path)
	}
}

func fsync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Size returns the length of an object in bytes.
func (s *Store) Size(ctx context.Context, key string) (int64, error) {
	a, err := s.bucket.Attributes(ctx, key)
	if err != nil {
		return 0, mapped("size of", key, err)
	}
	return a.Size, nil
}

// Delete removes an object. A key that is not there is not an error.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return mapped("delete", key, err)
	}
	return nil
}

// Object returns a reader of ranges of the object under key.
func (s *Store) Object(key string) object.RangeReader { return &ranges{s, key} }

// Close releases the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// ranges reads one object. It is safe for concurrent use.
type ranges struct {
	store *Store
	key   string
}

// ReadRange returns exactly the n bytes from off on.
func (o *ranges) ReadRange(ctx context.Context, off, n int64) ([]byte, error) {
	r, err := o.store.bucket.NewRangeReader(ctx, o.key, off, n, nil)
	if err != nil {
		return nil, mapped("read", o.key, err)
	}
	defer r.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read object %s [%d, +%d): %w", o.key, off, n, err)
	}
	return b, nil
}

func mapped(what, key string, err error) error {
	switch gcerrors.Code(err) {
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		err = ErrExists
	case gcerrors.NotFound:
		err = ErrNotFound
	}
	return fmt.Errorf("%s object %s: %w", what, key, err)
}
