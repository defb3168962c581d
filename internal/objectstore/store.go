package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gocloud.dev/blob"

	"github.com/sluicemq/sluice/internal/object"
)

// Store holds immutable objects. It is safe for concurrent use.
type Store struct {
	bucket    *blob.Bucket
	one       onePut // nil if PutSized is the same as Put
	local     bool   // file:// or mem://: no requests, no retries
	dir       string // of file://, to sync; empty for others
	cfg       Config
	log       *slog.Logger
	limit     *limiter
	bandwidth *bandwidth
	backoff   *backoff
	metrics   *metrics
	idle      func() // closes idle connections
}

// Size returns the length of an object in bytes.
func (s *Store) Size(ctx context.Context, key string) (n int64, err error) {
	ctx = opSize.on(ctx)
	defer s.observe(opSize, time.Now(), &err)
	for attempt := 1; ; attempt++ {
		a, err := s.bucket.Attributes(ctx, key)
		if err == nil {
			return a.Size, nil
		}
		if !s.mayAppear(err, attempt) || s.backoff.wait(ctx, attempt) != nil {
			return 0, s.mappedRead(ctx, "size of", key, err)
		}
	}
}

// mayAppear reports whether a missing key may exist at the next attempt.
func (s *Store) mayAppear(err error, attempt int) bool {
	return !s.local && attempt < s.cfg.MissingAttempts && classify(err).class == classMissing
}

// Delete removes an object. Deleting a missing key is not an error.
func (s *Store) Delete(ctx context.Context, key string) (err error) {
	ctx = opDelete.on(ctx)
	defer s.observe(opDelete, time.Now(), &err)
	err = s.bucket.Delete(ctx, key)
	if err == nil || classify(err).class == classMissing {
		return nil
	}
	return mapped(ctx, "delete", key, err)
}

// Object returns a range reader for the object under key. It is safe for
// concurrent use.
func (s *Store) Object(key string) object.RangeReader { return &ranges{s, key} }

// Check stores, reads and deletes a small object, so that problems with the URL,
// the credentials or the permissions are known before there is data to lose.
func (s *Store) Check(ctx context.Context) error {
	key := "check/" + uuid.NewString()
	if err := s.Put(ctx, key, strings.NewReader(key)); err != nil {
		return err
	}
	got, err := s.Object(key).ReadRange(ctx, 0, int64(len(key)))
	if err == nil && string(got) != key {
		err = fmt.Errorf("object store: the object %s reads differently than it was written", key)
	}
	return errors.Join(err, s.Delete(ctx, key))
}

// Directory returns where the objects of a file:// store are, and of others nothing.
func (s *Store) Directory() string { return s.dir }

// Close releases the bucket and its connections.
func (s *Store) Close() error {
	s.idle()
	return s.bucket.Close()
}

// observe counts an operation on a local store; others are counted per request.
func (s *Store) observe(o op, began time.Time, err *error) {
	if !s.local {
		return
	}
	name := "ok"
	switch {
	case *err == nil:
	case errors.Is(*err, ErrExists):
		name = "exists"
	case errors.Is(*err, ErrNotFound), errors.Is(*err, ErrShort):
		name = "missing"
	case errors.Is(*err, context.Canceled), errors.Is(*err, context.DeadlineExceeded):
		name = "cancelled"
	default:
		name = "failed"
	}
	s.metrics.request(o, name, time.Since(began))
}

// ranges reads one object.
type ranges struct {
	store *Store
	key   string
}

// ReadRange returns exactly the n bytes from off on.
func (o *ranges) ReadRange(ctx context.Context, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 {
		return nil, fmt.Errorf("read object %s [%d, +%d): not a range", o.key, off, n)
	}
	b := make([]byte, n)
	if err := o.store.ReadInto(ctx, o.key, off, b); err != nil {
		return nil, err
	}
	return b, nil
}

// ReadInto fills the slices of dst, one after the other, with the bytes of the
// object under key from off on. After an error their content is undefined.
func (s *Store) ReadInto(ctx context.Context, key string, off int64, dst ...[]byte) (err error) {
	all := scatter(slices.Clone(dst)) // fill moves on in it
	left := all.size()
	if left == 0 {
		return nil // HTTP has no empty ranges
	}
	ctx = opRead.on(ctx)
	defer s.observe(opRead, time.Now(), &err)
	o, end := &ranges{s, key}, off+left
	for attempt := 1; ; attempt++ {
		err := o.fill(ctx, end-left, left, &all)
		if left = all.size(); err == nil {
			return nil
		}
		again := s.mayAppear(err, attempt) || errors.Is(err, errCutOff) && attempt < s.cfg.Attempts
		if !again || s.local || s.backoff.wait(ctx, attempt) != nil {
			return s.mappedRead(ctx, "read", fmt.Sprintf("%s [%d, %d)", key, off, end), err)
		}
	}
}

// scatter is memory that is filled from the start.
type scatter [][]byte

func (s scatter) size() (n int64) {
	for _, b := range s {
		n += int64(len(b))
	}
	return n
}

// fill reads from r until all is full.
func (s *scatter) fill(r io.Reader) error {
	for len(*s) > 0 {
		n, err := io.ReadFull(r, (*s)[0])
		if err != nil {
			(*s)[0] = (*s)[0][n:]
			return err
		}
		*s = (*s)[1:]
	}
	return nil
}

// errShort: the object ends within the requested range.
var errShort = errors.New("the object ends too early")

// errCutOff: the response broke off. The request itself succeeded, so the SDKs do
// not retry it.
var errCutOff = errors.New("the response broke off")

// fill reads the n bytes from off on into dst, which afterwards holds what is
// still missing.
func (o *ranges) fill(ctx context.Context, off, n int64, dst *scatter) error {
	r, err := o.store.bucket.NewRangeReader(ctx, o.key, off, n, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if end := off + n; r.Size() > 0 && r.Size() < end {
		return fmt.Errorf("%w: at %d, before %d", errShort, r.Size(), end)
	}
	if err := dst.fill(r); err != nil {
		if o.store.local && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return fmt.Errorf("%w: before %d", errShort, off+n)
		}
		return fmt.Errorf("%w after %d of %d bytes: %w", errCutOff, n-dst.size(), n, err)
	}
	return nil
}
