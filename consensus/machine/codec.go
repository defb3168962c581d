package machine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/sluicemq/sluice/internal/topic"
)

// Version is the first byte of commands and results. Older versions are not read.
const Version = 6

// rootVersion is the first byte of snapshots of Root. Older versions are not read.
const rootVersion = 7

// shardVersion is the first byte of snapshots of a Shard. Older versions are not read.
const shardVersion = 7

var (
	// ErrMalformed means that the bytes do not follow the format.
	ErrMalformed = errors.New("malformed metadata")
	// ErrVersion means that the bytes have a newer version, or one that is too old.
	ErrVersion = errors.New("unsupported metadata version; run the version of Sluice that wrote it")
)

// coder reads or writes a layout. One function per type describes its fields for both
// directions, so that they cannot differ; writing does not modify the value, since readers may
// hold it. Numbers are varints (zigzag if signed), strings and lists are length-prefixed, maps
// are sorted.
type coder struct {
	buf     []byte // written so far, or left to read
	reading bool
	version byte
	err     error
}

func (c *coder) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	c.buf = nil
}

func (c *coder) byte(v *byte) {
	if !c.reading {
		c.buf = append(c.buf, *v)
		return
	}
	if len(c.buf) == 0 {
		c.fail("unexpected end")
		return
	}
	*v, c.buf = c.buf[0], c.buf[1:]
}

func (c *coder) bool(v *bool) {
	var b byte
	if *v {
		b = 1
	}
	c.byte(&b)
	if !c.reading {
		return
	}
	if b > 1 {
		c.fail("invalid boolean")
	}
	*v = b == 1
}

func (c *coder) uint64(v *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	n, size := binary.Uvarint(c.buf)
	if size <= 0 {
		c.fail("a number is truncated or too large")
		return
	}
	*v, c.buf = n, c.buf[size:]
}

func (c *coder) uint32(v *uint32) {
	n := uint64(*v)
	if c.uint64(&n); !c.reading {
		return
	}
	if n > math.MaxUint32 {
		c.fail("a number is too large")
		return
	}
	*v = uint32(n)
}

func (c *coder) int64(v *int64) { signed(c, v) }
func (c *coder) int32(v *int32) { signed(c, v) }
func (c *coder) int16(v *int16) { signed(c, v) }

func (c *coder) int(v *int) {
	n := int32(*v)
	c.int32(&n)
	if c.reading {
		*v = int(n)
	}
}

func signed[T int16 | int32 | int64](c *coder, v *T) {
	if !c.reading {
		c.buf = binary.AppendVarint(c.buf, int64(*v))
		return
	}
	n, size := binary.Varint(c.buf)
	if size <= 0 || int64(T(n)) != n {
		c.fail("a number is truncated or too large")
		return
	}
	*v, c.buf = T(n), c.buf[size:]
}

// count reads or writes the length of a list whose items take at least min bytes.
func (c *coder) count(n, min int) int {
	v := uint64(n)
	c.uint64(&v)
	if !c.reading {
		return n
	}
	if v > uint64(len(c.buf)/min) {
		c.fail("a list is longer than the data")
		return 0
	}
	return int(v)
}

func (c *coder) string(v *string) {
	n := c.count(len(*v), 1)
	if !c.reading {
		c.buf = append(c.buf, *v...)
		return
	}
	*v, c.buf = string(c.buf[:n]), c.buf[n:]
}

func (c *coder) bytes(v *[]byte) {
	s := string(*v)
	c.string(&s)
	if c.reading && s != "" {
		*v = []byte(s)
	}
}

// optional codes a nullable string.
func (c *coder) optional(v **string) {
	there := *v != nil
	c.bool(&there)
	if c.reading && there {
		*v = new(string)
	}
	if !there {
		return
	}
	c.string(*v)
}

func (c *coder) id(v *[16]byte) {
	if !c.reading {
		c.buf = append(c.buf, v[:]...)
		return
	}
	if len(c.buf) < len(v) {
		c.fail("unexpected end")
		return
	}
	c.buf = c.buf[copy(v[:], c.buf):]
}

func (c *coder) partition(v *topic.Partition) {
	c.id((*[16]byte)(&v.Topic))
	c.int32(&v.Index)
}

// list codes a slice; an item takes at least min bytes. An empty list is read as nil.
func list[T any](c *coder, s *[]T, min int, item func(*coder, *T)) {
	n := c.count(len(*s), min)
	if c.reading {
		*s = nil
		if n > 0 {
			*s = make([]T, n)
		}
	}
	for i := range *s {
		if item(c, &(*s)[i]); c.err != nil {
			return
		}
	}
}

// table codes a map, sorted by compare. An empty map is read as nil.
func table[K comparable, V any](c *coder, m *map[K]V, min int, compare func(a, b K) int, key func(*coder, *K), value func(*coder, *V)) {
	n := c.count(len(*m), min)
	if !c.reading {
		for _, k := range slices.SortedFunc(maps.Keys(*m), compare) {
			v := (*m)[k]
			key(c, &k)
			value(c, &v)
		}
		return
	}
	*m = nil
	if n > 0 {
		*m = make(map[K]V, n)
	}
	for range n {
		var k K
		var v V
		key(c, &k)
		if value(c, &v); c.err != nil {
			return
		}
		(*m)[k] = v
	}
}

func configs(c *coder, m *map[string]string) {
	table(c, m, 2, cmp.Compare[string], (*coder).string, (*coder).string)
}

func compareIDs(a, b [16]byte) int { return slices.Compare(a[:], b[:]) }

func compareTopics(a, b topic.ID) int { return compareIDs(a, b) }

func comparePartitions(a, b topic.Partition) int {
	return cmp.Or(compareTopics(a.Topic, b.Topic), cmp.Compare(a.Index, b.Index))
}

// begin writes the version.
func begin(version byte) *coder { return &coder{buf: []byte{version}, version: version} }

// open reads the version, which must be from oldest to newest.
func open(b []byte, oldest, newest byte) *coder {
	c := &coder{buf: b, reading: true}
	if c.byte(&c.version); c.err == nil && (c.version < oldest || c.version > newest) {
		c.buf, c.err = nil, fmt.Errorf("%w: %d", ErrVersion, c.version)
	}
	return c
}

// end returns the first error, or an error if bytes are left.
func (c *coder) end() error {
	if c.err == nil && len(c.buf) > 0 {
		c.fail(fmt.Sprintf("%d bytes after the end", len(c.buf)))
	}
	return c.err
}
