package upload

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectwrite"
	"github.com/sluicemq/sluice/internal/topic"
)

// remember fills in the new producer state of the parts' partitions. New sections
// are written first, all of them into one object.
func (u *Uploader) remember(ctx context.Context, what *built) error {
	u.folding.Lock()
	defer u.folding.Unlock()
	var out sections
	view := u.Metadata.View()
	for i := range what.parts {
		part := &what.parts[i]
		m, ok := view.Partition(part.Partition)
		if !ok {
			continue // its topic was deleted, which the commit will report
		}
		f := &fold{read: u.section, held: u.Snapshots, most: u.Config().SectionBytes,
			before: u.Clock.Now().Add(-u.Config().ProducerExpiration).UnixMilli()}
		recent, err := f.add(ctx, m.Producers, what.producers[i])
		out.charged += f.charged
		if err != nil {
			u.Snapshots.Refund(out.charged)
			return fmt.Errorf("%s: %w", part.Partition, err)
		}
		u.forgot(part.Partition, f.lost)
		if f.stuck != nil {
			u.Logger.Warn("snapshots of idempotent producers could not be merged and stay separate", "partition", part.Partition, "err", f.stuck)
		}
		part.Producers = meta.Producers{Recent: recent}
		for j, p := range f.stack {
			part.Producers.Sections = append(part.Producers.Sections, p.ref)
			if p.bytes != nil {
				out.take(part, j, p.bytes)
			}
		}
	}
	defer func() { u.Snapshots.Refund(out.charged) }()
	return out.write(ctx, u)
}

// sections is the sections of several partitions that go into one object.
type sections struct {
	all     []section
	charged int64
}

type section struct {
	part  *meta.CommitPart
	at    int // in its Producers.Sections
	bytes []byte
}

func (s *sections) take(part *meta.CommitPart, at int, bytes []byte) {
	s.all = append(s.all, section{part, at, bytes})
}

// write writes the sections and fills in their location.
func (s *sections) write(ctx context.Context, u *Uploader) error {
	if len(s.all) == 0 {
		return nil
	}
	var size object.Sizer
	var ids []topic.Partition
	for i, x := range s.all {
		size.AppendSection(int64(len(x.bytes)))
		if i == 0 || s.all[i-1].part != x.part {
			ids = append(ids, x.part.Partition)
		}
	}
	w := objectwrite.Writer{Metadata: u.Metadata, Store: u.Store, Clock: u.Clock, TTL: u.Config().PrepareTTL}
	err := w.Write(ctx, &objectwrite.Object{Partitions: ids, Size: size.Size(), Fill: s.fill,
		Commit: func(context.Context, meta.ObjectID) error { return nil }}) // the commit of the data refers to it
	if err == nil {
		u.metrics.sections.Add(float64(size.Size()))
	}
	return err
}

func (s *sections) fill(_ context.Context, id meta.ObjectID, out *object.Writer) error {
	for _, x := range s.all {
		at, err := out.AppendSection(x.part.Partition, x.part.Ref.End, x.bytes)
		if err != nil {
			return err
		}
		what, err := idempotence.Describe(x.bytes)
		if err != nil {
			return err
		}
		x.part.Producers.Sections[x.at] = meta.ProducerSection{Object: id, Offset: at.Offset, Length: at.Length, CRC: at.CRC,
			End: at.End, NewestMs: what.NewestMs, IDs: int32(what.Producers), FirstID: what.FirstID, LastID: what.LastID}
	}
	return nil
}

// section reads a section from the store.
func (u *Uploader) section(ctx context.Context, s meta.ProducerSection) ([]byte, error) {
	return object.ReadSection(ctx, u.Store.Object(object.Key(s.Object)), object.Section{Offset: s.Offset, Length: s.Length, CRC: s.CRC})
}

// forgot counts IDs of a partition that are dropped from its snapshots for lack
// of space.
func (u *Uploader) forgot(p topic.Partition, ids int) {
	if ids == 0 {
		return
	}
	u.metrics.forgotten.Add(float64(ids))
	u.Logger.Warn("forgot the longest idle idempotent producers: there are more than fit into producers.memory_bytes", "partition", p, "ids", ids)
}
