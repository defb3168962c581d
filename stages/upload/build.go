package upload

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
)

// stream returns the object of s, which is built as it is read. When it was built to
// its end, built has what it holds.
func (u *Uploader) stream(ctx context.Context, s *segment, createdMs int64, built *[]meta.CommitPart) io.ReadCloser {
	r, w := io.Pipe()
	over := make(chan struct{})
	go func() {
		defer close(over)
		parts, err := u.build(ctx, w, s, createdMs)
		if err == nil {
			*built = parts
		}
		w.CloseWithError(err) // nil ends the object
	}()
	return s.pace.reader(ctx, &stream{r, over})
}

// stream is an object that is being built.
type stream struct {
	*io.PipeReader
	over chan struct{}
}

// Close waits until nothing is built any more.
func (s *stream) Close() error {
	err := s.PipeReader.Close()
	<-s.over
	return err
}

// build writes the object of s into w.
func (u *Uploader) build(ctx context.Context, w io.Writer, s *segment, createdMs int64) ([]meta.CommitPart, error) {
	buffered := bufio.NewWriterSize(w, 256<<10)
	out := object.NewWriter(buffered, s.id, createdMs)
	parts := make([]meta.CommitPart, len(s.parts))
	for i := range s.parts {
		var err error
		if parts[i], err = u.buildPart(ctx, out, s.id, &s.parts[i]); err != nil {
			return nil, err
		}
	}
	if _, err := out.Close(); err != nil {
		return nil, err
	}
	return parts, buffered.Flush()
}

func (u *Uploader) buildPart(ctx context.Context, out *object.Writer, id meta.ObjectID, p *part) (meta.CommitPart, error) {
	s := p.state
	c := meta.CommitPart{Partition: s.ID, Epoch: s.Epoch(),
		Ref: meta.ObjectRef{ID: id, Base: p.first.Base, End: p.last.End(), Bytes: p.bytes, MaxTimestamp: -1}}
	now := u.Clock.Now()
	var producers idempotence.Producers
	if m, ok := u.Metadata.View().Partition(s.ID); ok {
		producers = idempotence.Restore(m.Producers)
	}
	var scratch []byte
	err := p.runs(func(e partition.Entry) error {
		run, release, err := u.run(ctx, e, &scratch)
		if err != nil {
			return fmt.Errorf("%s offset %d: %w", s.ID, e.Base, err)
		}
		defer release()
		if err := out.Append(s.ID, run); err != nil {
			return err
		}
		for len(run) > 0 {
			var b record.Batch
			if b, run, err = record.Next(run); err != nil {
				return err
			}
			producers.Append(idempotence.Header(b, now.UnixMilli()), b.BaseOffset())
			c.Ref.MaxTimestamp = max(c.Ref.MaxTimestamp, b.MaxTimestamp())
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	producers.Expire(now.Add(-u.cfg.ProducerExpiration).UnixMilli())
	c.Producers = producers.Snapshot()
	c.Epochs = epochsBelow(s.Epochs(), c.Ref.End)
	return c, nil
}

// run finds the batches of e in memory or in the WAL. They are valid until release.
func (u *Uploader) run(ctx context.Context, e partition.Entry, scratch *[]byte) ([]byte, func(), error) {
	if image, ok := u.Images.Get(e.Group); ok {
		at := int(e.Position - e.Group)
		return image.Bytes()[at : at+int(e.Size)], image.Release, nil
	}
	if cap(*scratch) < int(e.Size) {
		*scratch = make([]byte, e.Size)
	}
	b := (*scratch)[:e.Size]
	return b, func() {}, u.Log.ReadAt(ctx, e, b)
}

func epochsBelow(epochs []meta.EpochStart, end int64) []meta.EpochStart {
	for len(epochs) > 0 && epochs[len(epochs)-1].Start >= end {
		epochs = epochs[:len(epochs)-1]
	}
	return epochs
}
