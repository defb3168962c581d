package objectfetch

import (
	"container/list"

	"github.com/sluicemq/sluice/internal/object"
)

// kept holds the results of requests whose readers had left, oldest first. The
// read cache might evict blocks that nobody has asked for yet. There is always
// space for one, however large. The zero value is empty.
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

// footerBytes is the approximate size of a footer.
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

// look returns x without removing it, and makes it the most recent.
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
