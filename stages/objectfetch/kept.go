package objectfetch

import (
	"container/list"

	"github.com/sluicemq/sluice/internal/object"
)

// kept holds what came for readers that had left, in the order in which it came. The
// read cache would let go of blocks that nobody has asked for yet. It always has room
// for one, however large. The zero value holds nothing.
type kept struct {
	limit, bytes int64
	order        list.List // of keptItem
	by           map[blockKey]*list.Element
}

type keptItem struct {
	key    blockKey
	bytes  int64
	data   []byte
	footer *object.Footer
}

// footerBytes is about what a footer takes.
const footerBytes = 64 << 10

func (k *kept) put(x keptItem) {
	k.take(x.key)
	for k.bytes+x.bytes > k.limit && k.order.Len() > 0 {
		k.take(k.order.Front().Value.(keptItem).key)
	}
	if k.by == nil {
		k.by = make(map[blockKey]*list.Element)
	}
	k.by[x.key] = k.order.PushBack(x)
	k.bytes += x.bytes
}

// look returns x without letting go of it; it goes after all others.
func (k *kept) look(key blockKey) (x keptItem, ok bool) {
	e, ok := k.by[key]
	if !ok {
		return keptItem{}, false
	}
	k.order.MoveToBack(e)
	return e.Value.(keptItem), true
}

func (k *kept) take(key blockKey) (x keptItem, ok bool) {
	e, ok := k.by[key]
	if !ok {
		return keptItem{}, false
	}
	x = k.order.Remove(e).(keptItem)
	delete(k.by, key)
	k.bytes -= x.bytes
	return x, true
}
