package objectfetch

import (
	"container/list"

	"github.com/sluicemq/sluice/internal/object"
)

// resultCache holds the results of requests whose readers had left, oldest first. The
// read cache might evict blocks that nobody has asked for yet. There is always
// space for one, however large. The zero value is empty.
type resultCache struct {
	limit, bytes int64
	order        list.List // of result
	by           map[blockKey]*list.Element
}

type result struct {
	key    blockKey
	bytes  int64
	data   []byte
	footer *object.Footer
}

// footerBytes is the approximate size of a footer.
const footerBytes = 64 << 10

func (k *resultCache) put(x result) {
	k.take(x.key)
	for k.bytes+x.bytes > k.limit && k.order.Len() > 0 {
		k.take(k.order.Front().Value.(result).key)
	}
	if k.by == nil {
		k.by = make(map[blockKey]*list.Element)
	}
	k.by[x.key] = k.order.PushBack(x)
	k.bytes += x.bytes
}

// look returns x without removing it, and makes it the most recent.
func (k *resultCache) look(key blockKey) (x result, ok bool) {
	e, ok := k.by[key]
	if !ok {
		return result{}, false
	}
	k.order.MoveToBack(e)
	return e.Value.(result), true
}

func (k *resultCache) take(key blockKey) (x result, ok bool) {
	e, ok := k.by[key]
	if !ok {
		return result{}, false
	}
	x = k.order.Remove(e).(result)
	delete(k.by, key)
	k.bytes -= x.bytes
	return x, true
}
