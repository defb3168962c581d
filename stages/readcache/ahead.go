package readcache

import (
	"sync"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
)

// prefetched holds blocks that were read ahead and that nobody has passed yet.
// They are separate from the main cache, whose policy would evict blocks that
// nobody has requested first. Space is reserved before a block is fetched, so the
// limit is never exceeded.
type prefetched struct {
	mu     sync.Mutex
	limit  int64
	used   int64 // reserved or held
	blocks map[key]prefetchedBlock
}

type prefetchedBlock struct {
	data  []byte
	users int // readers that it was fetched for
}

// Reserve takes n bytes of the space for read-ahead; it returns false if there is
// not that much. Return it with Return, or block by block with Pass or Drop.
func (c *Cache) Reserve(n int64) bool {
	s := &c.ahead
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.limit {
		return false
	}
	s.used += n
	return true
}

// Return gives back n reserved bytes.
func (c *Cache) Return(n int64) {
	c.ahead.mu.Lock()
	c.ahead.used -= n
	c.ahead.mu.Unlock()
}

// PutAhead keeps a block that was read ahead, whose bytes are reserved, until
// each reader it was put for has passed or dropped it.
func (c *Cache) PutAhead(id meta.ObjectID, b object.Block, data []byte) {
	s := &c.ahead
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{id, b.Offset}
	e := s.blocks[k]
	if e.users++; e.users > 1 {
		s.used -= b.Length // it is already there
	}
	e.data = data
	s.blocks[k] = e
}

// Pass says that a reader has read past the block: it is now cached like any
// other.
func (c *Cache) Pass(id meta.ObjectID, b object.Block) {
	if data, ok := c.take(id, b); ok {
		c.PutBlock(id, b, data)
	}
}

// Drop says that a reader will not reach the block.
func (c *Cache) Drop(id meta.ObjectID, b object.Block) { c.take(id, b) }

// take ends one use of the block; ok is true for the last.
func (c *Cache) take(id meta.ObjectID, b object.Block) (data []byte, ok bool) {
	s := &c.ahead
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{id, b.Offset}
	e, ok := s.blocks[k]
	if !ok {
		return nil, false
	}
	if e.users--; e.users > 0 {
		s.blocks[k] = e
		return nil, false
	}
	delete(s.blocks, k)
	s.used -= b.Length
	return e.data, true
}

func (s *prefetched) get(k key) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.blocks[k]
	return e.data, ok
}

func (s *prefetched) resize(limit int64) {
	s.mu.Lock()
	s.limit = limit
	s.mu.Unlock()
}

func (s *prefetched) size() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(s.used)
}
