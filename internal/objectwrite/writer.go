package objectwrite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/topic"
)

// ErrLate: an object was not written within its prepared time.
var ErrLate = errors.New("the object was not written in time; if the store is merely slow, raise object_storage.prepare_timeout_ms")

// Metadata records objects before they exist.
type Metadata interface {
	PrepareObject(ctx context.Context, id meta.ObjectID, parts []topic.Partition, ttl time.Duration) error
}

// Store stores objects; an existing key fails with objectstore.ErrExists.
type Store interface {
	Put(ctx context.Context, key string, r io.Reader) error
	PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) error
}

// Writer writes objects. Safe for concurrent use.
type Writer struct {
	Metadata Metadata
	Store    Store
	Clock    clock.Clock
	TTL      time.Duration // the longest an object may take
}

// Object is an object to be written.
type Object struct {
	Partitions []topic.Partition // partitions with data in it
	// Size in bytes, if known; otherwise 0. With a size the store may read the
	// contents more than once.
	Size int64
	// Fill appends the parts. Each call must append the same.
	Fill func(ctx context.Context, id meta.ObjectID, out *object.Writer) error
	// Pace, if not nil, returns r with a rate limit.
	Pace func(ctx context.Context, r io.ReadCloser) io.ReadCloser
	// Commit makes the metadata refer to the object.
	Commit func(ctx context.Context, id meta.ObjectID) error
}

// Write takes o through prepare, put and commit. An error of a step is wrapped
// with the step and the ID; it is ErrLate if the time was over before the put had
// finished. Commit has no such limit: the metadata refuses it if it is too late.
func (w *Writer) Write(ctx context.Context, o *Object) error {
	id := meta.NewObjectID()
	if err := w.put(ctx, id, o); err != nil {
		return err
	}
	return o.Commit(ctx, id)
}

func (w *Writer) put(ctx context.Context, id meta.ObjectID, o *Object) error {
	ctx, cancel := context.WithCancelCause(ctx) // no deadline: a rate limiter would refuse to wait beyond it
	defer cancel(nil)
	defer time.AfterFunc(w.TTL, func() { cancel(ErrLate) }).Stop()
	if err := w.Metadata.PrepareObject(ctx, id, o.Partitions, w.TTL); err != nil {
		return fmt.Errorf("prepare object %s: %w", id, err)
	}
	createdMs := w.Clock.Now().UnixMilli()
	open := func() io.ReadCloser {
		r := contents(func(to io.Writer) error {
			out := object.NewWriter(to, id, createdMs)
			if err := o.Fill(ctx, id, out); err != nil {
				return err
			}
			_, err := out.Close()
			return err
		})
		if o.Pace == nil {
			return r
		}
		return o.Pace(ctx, r)
	}
	if err := w.send(ctx, object.Key(id), o.Size, open); err != nil { // after ErrExists the next attempt uses a new ID
		return fmt.Errorf("write object %s: %w", id, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

func (w *Writer) send(ctx context.Context, key string, size int64, open func() io.ReadCloser) error {
	if size > 0 {
		return w.Store.PutSized(ctx, key, size, open)
	}
	r := open()
	err := w.Store.Put(ctx, key, r)
	return errors.Join(err, r.Close())
}
