package objectstore

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/sluicemq/sluice/internal/blockfs"
)

const contentType = "application/octet-stream"

// Put stores what r holds under key, durably, unless the key exists with other
// contents (ErrExists). An error of r leaves no object. After any other error the
// object may or may not be there.
func (s *Store) Put(ctx context.Context, key string, r io.Reader) error {
	return s.put(ctx, key, r, nil)
}

// put is Put. again, unless it is nil, sums up what r holds by reading it anew, which is
// done only where it has to be known; otherwise all that is sent is summed up.
func (s *Store) put(ctx context.Context, key string, r io.Reader, again sum) (err error) {
	ctx = opPut.on(ctx)
	defer s.observe(opPut, time.Now(), &err)
	// A failing reader would leave a truncated object: gocloud closes what it has
	// started to write, and only a cancelled context turns that into an abort.
	tries := &budget{attempts: s.cfg.Attempts}
	uploading, abort := context.WithCancelCause(tries.on(ctx))
	defer abort(nil)
	b := &body{r: r, ctx: uploading, abort: abort, store: s, summed: again == nil}
	if again == nil {
		again = b.sum
	}
	if s.dir != "" {
		err = s.write(uploading, key, b)
	} else {
		err = s.bucket.Upload(uploading, key, b, &blob.WriterOptions{ContentType: contentType,
			IfNotExist: true, BufferSize: int(s.cfg.PartBytes), MaxConcurrency: s.cfg.PartConcurrency})
	}
	v := classify(err)
	switch {
	case b.failed != nil:
		return fmt.Errorf("put object %s: %w", key, b.failed)
	case v.class == classMissing && !tries.answered.Load():
		return fmt.Errorf("put object %s: %w: %s (%w)", key, ErrRefused, advice(verdict{code: "NoSuchBucket"}), err)
	case err != nil && ctx.Err() == nil && v.ambiguous():
		return s.resolve(ctx, key, again, err)
	case err != nil:
		return mapped(ctx, "put", key, err)
	}
	return nil
}

// sum is the length and the CRC32C of contents.
type sum func() (size int64, crc uint32, err error)

// resolve finds out whether what is under key is what of sums up: after an upload that
// failed with cause because the key is taken, or because no answer came. (A store may
// say that the key is taken before it has heard all, and close; then the answer is lost.)
func (s *Store) resolve(ctx context.Context, key string, of sum, cause error) error {
	size, crc, err := of()
	if err != nil {
		return fmt.Errorf("put object %s: %w", key, err)
	}
	ours, err := s.holds(opRead.on(ctx), key, size, crc)
	switch {
	case errors.Is(err, ErrNotFound):
		return fmt.Errorf("put object %s: %w: %w", key, ErrUnavailable, &storeError{classify(cause), cause, ""})
	case err != nil:
		if why := (&storeError{classify(cause), cause, ""}); !strings.Contains(err.Error(), why.Error()) {
			err = errors.Join(err, why)
		}
		return fmt.Errorf("put object %s: it is unknown whether it exists: %w", key, err)
	case !ours:
		return fmt.Errorf("put object %s: %w", key, ErrExists)
	}
	s.metrics.resolved.Inc()
	if s.dir != "" { // an earlier attempt may have crashed before the sync
		return s.sync(key)
	}
	return nil
}

// holds reports whether the object under key has this length and checksum.
func (s *Store) holds(ctx context.Context, key string, size int64, crc uint32) (bool, error) {
	n, err := s.Size(ctx, key)
	if err != nil || n != size {
		return false, err
	}
	var d digest
	for off := int64(0); off < size; {
		part, err := s.Object(key).ReadRange(ctx, off, min(s.cfg.PartBytes, size-off))
		if err != nil {
			return false, err
		}
		_, _ = d.Write(part) // never fails
		off += int64(len(part))
	}
	return d.crc == crc, nil
}

// digest is the length and CRC32C of what was written to it.
type digest struct {
	size int64
	crc  uint32
}

func (d *digest) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	d.crc = crc32.Update(d.crc, castagnoli(), p)
	return len(p), nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// body is the content of a Put: it counts and checksums it, and aborts the upload
// when reading fails. The upload reads it from one goroutine at a time.
type body struct {
	r      io.Reader
	ctx    context.Context
	abort  context.CancelCauseFunc
	store  *Store
	summed bool // digest has a checksum; else only the size
	digest digest
	failed error
	roomAt int64 // size at which to check the free space again
}

// roomStep is how much is written between two checks of the free space.
const roomStep = 4 << 20

// room checks that the disk of a file:// store has free space left.
func (b *body) room() error {
	least := b.store.cfg.MinFreeBytes
	if b.store.dir == "" || least <= 0 || b.digest.size < b.roomAt {
		return nil
	}
	b.roomAt = b.digest.size + min(roomStep, least/2)
	free, err := blockfs.FreeBytes(b.store.dir)
	if err == nil && free < least {
		err = fmt.Errorf("%w: %w: %d MiB are free in %s, but %d MiB must stay free", ErrUnavailable, blockfs.ErrNoSpace, free>>20, b.store.dir, least>>20)
	}
	return err
}

func (b *body) Read(p []byte) (n int, err error) {
	if err := b.room(); err != nil {
		b.failed = err
		b.abort(err)
		return 0, err
	}
	if b.store.local { // there is no transport to do it
		n, err = b.store.bandwidth.read(b.ctx, b.r, p)
		b.store.metrics.bytes.WithLabelValues("sent").Add(float64(n))
	} else {
		n, err = b.r.Read(p)
	}
	if b.summed {
		_, _ = b.digest.Write(p[:n]) // never fails
	} else {
		b.digest.size += int64(n)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // readers end with io.EOF itself
		b.failed = err
		b.abort(err)
	}
	return n, err
}

// sum reads what the upload has not read: a store may refuse before it has
// received everything.
func (b *body) sum() (size int64, crc uint32, err error) {
	_, err = io.Copy(io.Discard, b)
	return b.digest.size, b.digest.crc, err
}

// sync makes the file of key durable, and each directory on its path.
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
