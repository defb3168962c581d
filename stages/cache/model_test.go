package cache_test

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/stages/cache"
)

// model is the expected behaviour of the cache: a queue of images that drops the
// oldest when their total size is too large.
type model struct {
	limit int64
	order []partition.Position
	size  map[partition.Position]int64
}

func (m *model) bytes() (n int64) {
	for _, pos := range m.order {
		n += m.size[pos]
	}
	return n
}

func (m *model) evict() {
	for len(m.order) > 0 && m.bytes() > m.limit {
		delete(m.size, m.order[0])
		m.order = m.order[1:]
	}
}

// TestModel puts, gets, holds and resizes at random, and compares with the model.
// Held images keep their bytes after eviction, and all memory is returned in the
// end.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := blockfs.NewPool(64 << 20)
		m := &model{limit: rapid.Int64Range(0, 20).Draw(t, "limit") * blockfs.BlockSize, size: map[partition.Position]int64{}}
		c := cache.New(m.limit, prometheus.NewRegistry())
		type hold struct {
			image *blockfs.Buffer
			tag   byte
		}
		var held []hold
		position := rapid.Custom(func(t *rapid.T) partition.Position {
			return partition.Position(rapid.IntRange(0, 30).Draw(t, "position"))
		})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				pos := position.Draw(t, "at")
				b, err := pool.Get(t.Context(), rapid.IntRange(1, 3*blockfs.BlockSize).Draw(t, "size"))
				if err != nil {
					t.Fatal(err)
				}
				b.Bytes()[0] = byte(pos)
				n := int64(cap(b.Bytes()))
				c.Put(pos, b)
				if _, ok := m.size[pos]; !ok {
					m.order, m.size[pos] = append(m.order, pos), n
					m.evict()
				}
			},
			"get": func(t *rapid.T) {
				pos := position.Draw(t, "at")
				b, ok := c.Get(pos)
				if ok != slices.Contains(m.order, pos) {
					t.Fatalf("position %d is there: %t", pos, ok)
				}
				if ok {
					held = append(held, hold{b, byte(pos)})
				}
			},
			"release": func(t *rapid.T) {
				if len(held) == 0 {
					return
				}
				h := held[0]
				if h.image.Bytes()[0] != h.tag {
					t.Fatalf("the image of position %d was overwritten by that of %d", h.tag, h.image.Bytes()[0])
				}
				h.image.Release()
				held = held[1:]
			},
			"resize": func(t *rapid.T) {
				m.limit = rapid.Int64Range(0, 20).Draw(t, "limit") * blockfs.BlockSize
				c.Resize(m.limit)
				m.evict()
			},
			"": func(t *rapid.T) {
				if c.Bytes() != m.bytes() || c.Bytes() > m.limit {
					t.Fatalf("%d bytes, want %d of %d", c.Bytes(), m.bytes(), m.limit)
				}
			},
		})
		c.Resize(0)
		for _, h := range held {
			h.image.Release()
		}
		if pool.Lent() != 0 {
			t.Fatalf("%d bytes leaked", pool.Lent())
		}
	})
}
