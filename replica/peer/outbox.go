package peer

import (
	"errors"
	"sync"

	"github.com/sluicemq/sluice/internal/topic"
)

// maxPending is how many messages may wait to be sent on a stream.
const maxPending = 1 << 18

// A follower sends only positions and numbers, so that the port for brokers can refuse anything larger than
// followerFrame, also before a Hello.
const (
	followerItems = 16 << 10
	followerFrame = 1 << 20
)

var errBehind = errors.New("too many messages wait to be sent to it")

// outbox holds what is to be sent on a stream, except records. Messages keep their order. A position
// replaces one of the same partition that waits, unless a Hello would be lost.
type outbox struct {
	wake chan struct{} // has one element if there may be something to send

	mu     sync.Mutex
	items  []item
	last   map[topic.Partition]int // the last position of a partition in items
	ping   uint64                  // token to send, 0 for none
	pong   uint64
	credit uint64
	over   bool // there were more than maxPending
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), last: make(map[topic.Partition]int)}
}

// kick wakes the goroutine that sends.
func (o *outbox) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) add(it item) {
	o.mu.Lock()
	i, waits := o.last[it.partition]
	switch {
	case it.kind == kindPosition && waits && (it.position.Hello || !o.items[i].position.Hello):
		o.items[i] = it
	case len(o.items) >= maxPending:
		o.over = true
	default:
		if it.kind == kindPosition {
			o.last[it.partition] = len(o.items)
		}
		o.items = append(o.items, it)
	}
	o.mu.Unlock()
	o.kick()
}

// number replaces a ping or pong that waits, or adds to the credit.
func (o *outbox) number(k kind, n uint64) {
	o.mu.Lock()
	switch k {
	case kindPing:
		o.ping = n
	case kindPong:
		o.pong = n
	case kindCredit:
		o.credit += n
	}
	o.mu.Unlock()
	o.kick()
}

// moveTo moves the oldest messages to a frame, at most that many.
func (o *outbox) moveTo(f *frame, most int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return errBehind
	}
	for _, n := range []item{{kind: kindPing, number: o.ping}, {kind: kindPong, number: o.pong}, {kind: kindCredit, number: o.credit}} {
		if n.number != 0 {
			f.add(&n)
		}
	}
	o.ping, o.pong, o.credit = 0, 0, 0
	n := min(most, len(o.items))
	for i := range n {
		f.add(&o.items[i])
	}
	if n == len(o.items) {
		o.items = o.items[:0]
		clear(o.last)
		return nil
	}
	o.items = append(o.items[:0], o.items[n:]...)
	for p, i := range o.last {
		if o.last[p] = i - n; i < n {
			delete(o.last, p)
		}
	}
	return nil
}

// waiting returns the number of messages that wait.
func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.items)
}
