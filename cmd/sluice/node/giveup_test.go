package node

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// Offsets that compaction removed between batches are not lost. In an object with damaged blocks,
// exactly those of the damaged blocks above the log start are.
func TestGapsOfAnObject(t *testing.T) {
	p, id := topic.Partition{Topic: topic.NewID()}, meta.NewObjectID()
	ref := meta.ObjectRef{ID: id, Base: 0, End: 12}
	var whole bytes.Buffer
	w := object.NewWriter(&whole, id, 1)
	for _, base := range []int64{0, 5, 7, 10} { // each a block of two offsets
		b := record.NewBuilder()
		b.BaseOffset = base
		for range 2 {
			b.Add(1, nil, bytes.Repeat([]byte{byte(base)}, 700<<10))
		}
		batch, err := b.Build()
		if err == nil {
			err = w.Append(p, batch)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	footer, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	blocks := footer.Partitions[0].Blocks
	for name, c := range map[string]struct {
		damaged  []int
		logStart int64
		given    span
		want     string
	}{
		"nothing":             {nil, 0, span{0, 12}, "[]"},
		"behind a gap":        {[]int{1}, 0, span{0, 12}, "[5 to 6]"},
		"just that":           {[]int{1}, 0, span{5, 7}, "[5 to 6]"},
		"too little is named": {[]int{1}, 0, span{5, 6}, "error"},
		"two":                 {[]int{0, 3}, 0, span{0, 12}, "[0 to 1 10 to 11]"},
		"one is not named":    {[]int{0, 3}, 0, span{0, 5}, "error"},
		"below the log start": {[]int{0, 3}, 5, span{10, 12}, "[10 to 11]"},
		"across it":           {[]int{0}, 1, span{1, 2}, "[1 to 1]"},
	} {
		store, err := objectstore.Open(t.Context(), "mem://")
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Clone(whole.Bytes())
		for _, i := range c.damaged {
			data[blocks[i].Offset+blocks[i].Length/2] ^= 1
		}
		if err := store.Put(t.Context(), object.Key(id), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		s := &storage{objects: store}
		next := int64(0)
		gaps, err := s.gaps(t.Context(), p, &meta.Partition{LogStart: c.logStart}, ref, c.given, func(batches []byte) error {
			for rest := batches; len(rest) > 0; {
				b, more, err := record.Next(rest)
				if err != nil || b.BaseOffset() < next {
					return fmt.Errorf("offset %d after %d: %w", b.BaseOffset(), next, err)
				}
				next, rest = b.NextOffset(), more
			}
			return nil
		})
		got := fmt.Sprint(gaps)
		if err != nil {
			got = "error"
		} else if next != ref.End {
			t.Errorf("%s: what is there ends at %d", name, next)
		}
		if got != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, c.want)
		}
		store.Close()
	}
}
