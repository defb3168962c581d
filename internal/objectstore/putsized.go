package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// onePut stores a body under an unused key, in one request.
type onePut func(ctx context.Context, key string, body *rewinder) error

// PutSized is Put for contents of known size that can be read more than once:
// each call of open reads them from the start, and a reader is closed before the
// next is opened. Up to Config.MultipartThresholdBytes, S3 and Azure get them in
// one request, which costs a twentieth of a multipart upload and needs no memory
// for parts. Contents of a different size are an error and leave no object.
func (s *Store) PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) (err error) {
	if size == 0 {
		r := open()
		err := s.Put(ctx, key, &exactly{r: r})
		return errors.Join(err, r.Close())
	}
	b := &rewinder{size: size, open: open}
	defer b.shut()
	if s.one == nil || size > s.cfg.MultipartThresholdBytes {
		return s.put(ctx, key, b, b.sum)
	}
	ctx = opPut.on(ctx)
	defer s.observe(opPut, time.Now(), &err)
	err = s.one(ctx, key, b)
	switch v := classify(err); {
	case b.failed != nil:
		return fmt.Errorf("put object %s: %w", key, b.failed)
	case err != nil && ctx.Err() == nil && v.ambiguous() && v.class != classMissing:
		return s.resolve(ctx, key, b.sum, err)
	case v.class == classMissing: // the bucket's: there is no upload that could have vanished
		return fmt.Errorf("put object %s: %w: %s (%w)", key, ErrRefused, advice(verdict{code: "NoSuchBucket"}), err)
	case err != nil:
		return mapped(ctx, "put", key, err)
	}
	return nil
}

// errSize: a body did not have the declared size.
var errSize = errors.New("the contents do not have the declared size")

// exactly reads exactly the declared number of bytes, and fails if there are
// fewer or more.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if e.left -= int64(n); e.left < 0 || err == io.EOF && e.left > 0 { //nolint:errorlint // readers end with io.EOF itself
		return 0, errSize
	}
	return n, err
}

// rewinder is a body for SDKs that may send it more than once: it can be read
// again from the start.
type rewinder struct {
	size   int64
	open   func() io.ReadCloser
	r      io.ReadCloser // nil until the first read after a rewind
	body   exactly
	at     int64
	failed error // of the reader, in any attempt
}

func (b *rewinder) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	if b.at == b.size {
		return 0, io.EOF
	}
	if b.r == nil {
		b.r = b.open()
		b.body = exactly{r: b.r, left: b.size}
	}
	n, err := b.body.Read(p)
	b.at += int64(n)
	if b.at == b.size && err == nil {
		err = b.end()
	}
	if err != nil && err != io.EOF { //nolint:errorlint // readers end with io.EOF itself
		b.failed = err
		return 0, err // the store then discards the incomplete upload
	}
	return n, err
}

// end makes sure that nothing follows, and that the producer of the contents has
// finished.
func (b *rewinder) end() error {
	for {
		var one [1]byte
		if n, err := b.body.Read(one[:]); n > 0 || err != nil {
			return err
		}
	}
}

// Seek goes to the start, or reports where the end is.
func (b *rewinder) Seek(offset int64, whence int) (int64, error) {
	switch {
	case whence == io.SeekEnd && offset == 0:
		b.shut() // reads from here return nothing
		b.at = b.size
	case whence == io.SeekStart && offset == 0:
		if b.at > 0 {
			b.shut()
			b.at = 0
		}
	case whence == io.SeekCurrent && offset == 0, whence == io.SeekStart && offset == b.at:
	default:
		return b.at, fmt.Errorf("seek to %d of whence %d: only the start and the end are supported", offset, whence)
	}
	return b.at, nil
}

// Close does nothing: the sender closes the body and may send it again.
func (b *rewinder) Close() error { return nil }

func (b *rewinder) shut() {
	if b.r != nil {
		_ = b.r.Close() // everything read is good, or the read has failed
		b.r = nil
	}
}

// sum reads the contents once more.
func (b *rewinder) sum() (size int64, crc uint32, err error) {
	b.shut()
	b.at, b.failed = 0, nil
	var d digest
	if _, err := io.Copy(&d, b); err != nil {
		return 0, 0, err
	}
	return d.size, d.crc, nil
}
