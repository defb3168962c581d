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

// ErrLate: an object was not written in the time for which it was prepared.
var ErrLate = errors.New("the time for which the object was prepared is over; raise object_storage.prepare_timeout_ms if the store is only slow")

// Metadata knows of objects before they are there.
type Metadata interface {
	PrepareObject(ctx context.Context, id meta.ObjectID, parts []topic.Partition, ttl time.Duration) error
}

// Store takes objects; a key that exists is refused with objectstore.ErrExists.
type Store interface {
	Put(ctx context.Context, key string, r io.Reader) error
	PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) error
}

// Writer writes objects. Safe for concurrent use.
type Writer struct {
	Metadata Metadata
	Store    Store
	Clock    clock.Clock
	TTL      time.Duration // how long an object may take
}

// Object is one to be written.
type Object struct {
	Partitions []topic.Partition // those with parts in it
	// Size in bytes, if it is known; otherwise 0. With a size the store may ask for the
	// contents more than once.
	Size int64
	// Fill appends the parts. Each call appends the same.
	Fill func(ctx context.Context, id meta.ObjectID, out *object.Writer) error
	// Pace, unless it is nil, returns r at the speed that it may go.
	Pace func(ctx context.Context, r io.ReadCloser) io.ReadCloser
	// Commit has the metadata refer to the object.
	Commit func(ctx context.Context, id meta.ObjectID) error
}

// Write takes o through prepare, put and commit. An error of a step is returned as it
// is, with the step and the id before it; ErrLate when the time was over before the put
// had ended. Commit has no such limit: the metadata refuses it if it comes too late.
func (w *Writer) Write(ctx context.Context, o *Object) error {
	id := meta.NewObjectID()
	if err := w.put(ctx, id, o); err != nil {
		return err
	}
	return o.Commit(ctx, id)
}

func (w *Writer) put(ctx context.Context, id meta.ObjectID, o *Object) error {
	ctx, cancel := context.WithCancelCause(ctx) // no deadline, before which a rate limit would refuse to wait
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
	if err := w.send(ctx, object.Key(id), o.Size, open); err != nil { // after ErrExists the next attempt takes a new id
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
