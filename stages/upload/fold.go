package upload

import (
	"context"
	"fmt"
	"math"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
)

// A partition's memory of producers is a stack of snapshots: sections in objects,
// the oldest and largest first, and on top of them the recent changes, which are
// in the metadata. New changes are merged into the recent ones. When these
// outgrow meta.MaxRecent they become a section, and sections are merged while the
// upper one is not much smaller than the one below it, so that there are few of
// them and each byte is rewritten only a few times, as in an LSM tree. No section
// is larger than sectionBytes; when there would be too many, the oldest is
// dropped with the producers that have written nothing since.

const (
	// maxSections is how many sections a partition may have; 600 bytes of metadata.
	maxSections = 12
	// mergeRatio is how many times larger than the section above it a section must
	// be to stay.
	mergeRatio = 4
)

// level is one section of the stack, written or yet to be written.
type level struct {
	ref   meta.ProducerSection // of one that is written
	bytes []byte               // of one that is not
}

func (p level) size() int64 { return max(p.ref.Length, int64(len(p.bytes))) }

// fold merges new producer state into what a partition remembers.
type fold struct {
	read    func(context.Context, meta.ProducerSection) ([]byte, error)
	held    *memory.Account
	most    int64 // maximum bytes of a section
	before  int64 // producers idle since then are dropped (ms)
	stack   []level
	charged int64
	lost    int   // IDs dropped with their section
	stuck   error // why sections could not be merged
}

// add puts the recent changes and then fresh ones on top of the sections. It
// returns the new recent changes; nil if they went into a section.
func (f *fold) add(ctx context.Context, old meta.Producers, fresh [][]byte) (recent []byte, err error) {
	for _, s := range old.Sections {
		if s.NewestMs >= f.before {
			f.stack = append(f.stack, level{ref: s})
		}
	}
	if len(fresh) == 0 {
		fresh = [][]byte{nil}
	}
	first, err := idempotence.Merge(old.Recent, fresh[0], f.before)
	if err != nil {
		return nil, fmt.Errorf("recent producers: %w", err)
	}
	if len(fresh) == 1 && len(first) <= meta.MaxRecent {
		return first, nil
	}
	f.charge(len(first))
	f.push(ctx, first)
	for _, s := range fresh[1:] {
		f.push(ctx, s)
	}
	f.shorten(ctx)
	return nil, nil
}

func (f *fold) charge(n int) {
	f.held.Charge(int64(n))
	f.charged += int64(n)
}

// push puts a snapshot on top of the stack.
func (f *fold) push(ctx context.Context, snapshot []byte) {
	if len(snapshot) == 0 {
		return
	}
	f.stack = append(f.stack, level{bytes: snapshot})
	for n := len(f.stack); n >= 2 && f.stack[n-2].size() <= mergeRatio*f.stack[n-1].size() && f.merge(ctx, n-2); n = len(f.stack) {
	}
}

// shorten merges or drops sections until there are no more than allowed.
func (f *fold) shorten(ctx context.Context) {
	for len(f.stack) > maxSections {
		least, at := int64(math.MaxInt64), 0
		for i := range len(f.stack) - 1 {
			if n := f.stack[i].size() + f.stack[i+1].size(); n < least {
				least, at = n, i
			}
		}
		if f.merge(ctx, at) {
			continue
		}
		f.lost += int(f.stack[0].ref.IDs)
		if b := f.stack[0].bytes; b != nil {
			what, _ := idempotence.Describe(b) // written by ourselves
			f.lost += what.Producers
		}
		f.stack = f.stack[1:]
	}
}

// merge replaces two sections by one. It leaves them alone if one is unreadable
// or the result would be too large.
func (f *fold) merge(ctx context.Context, at int) bool {
	a, b := f.stack[at], f.stack[at+1]
	if a.size()+b.size() > f.most {
		return false
	}
	work := 2 * (a.size() + b.size())
	f.held.Charge(work)
	defer f.held.Refund(work)
	older, err := f.contents(ctx, a)
	if err != nil {
		f.stuck = err
		return false
	}
	newer, err := f.contents(ctx, b)
	if err != nil {
		f.stuck = err
		return false
	}
	merged, err := idempotence.Merge(older, newer, f.before)
	if err != nil {
		f.stuck = err
		return false
	}
	f.charge(len(merged))
	rest := f.stack[at+2:]
	f.stack = f.stack[:at:at]
	if len(merged) > 0 {
		f.stack = append(f.stack, level{bytes: merged})
	}
	f.stack = append(f.stack, rest...)
	return true
}

func (f *fold) contents(ctx context.Context, p level) ([]byte, error) {
	if p.bytes != nil {
		return p.bytes, nil
	}
	return f.read(ctx, p.ref)
}
