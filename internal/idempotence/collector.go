package idempotence

import "github.com/sluicemq/sluice/internal/memory"

// Collector makes snapshots of what a stretch of a log says of its producers, without
// having all of them in memory as a Table does: 112 bytes an id are some 15 in a
// snapshot. Not safe for concurrent use.
type Collector struct {
	held      *memory.Account // the snapshots are charged to it
	ps        *Producers
	snapshots [][]byte
	lost      int
}

// collectBytes is what a Collector's table has; a full one becomes a snapshot.
const collectBytes = 512 << 10

// NewCollector returns one whose memory is charged to held.
func NewCollector(held *memory.Account) *Collector {
	held.Charge(collectBytes)
	return &Collector{held: held, ps: NewTable(collectBytes).Open()}
}

// Append takes in the next batch of the stretch.
func (c *Collector) Append(b Batch, base int64) {
	if b.ProducerID == NoProducer {
		return
	}
	if c.ps.table.used+producerBytes+earlierBytes+bucketBytes > collectBytes {
		c.cut()
	}
	c.ps.Append(b, base)
}

// cut makes a snapshot of what is in the table. Where there is no room for it the
// oldest ones are given up.
func (c *Collector) cut() {
	s := c.ps.Snapshot()
	c.ps.Close()
	if len(s) == 0 {
		return
	}
	for !c.held.Try(int64(len(s))) {
		if len(c.snapshots) == 0 {
			c.lose(s)
			return
		}
		c.lose(c.snapshots[0])
		c.held.Refund(int64(len(c.snapshots[0])))
		c.snapshots = c.snapshots[1:]
	}
	c.snapshots = append(c.snapshots, s)
}

func (c *Collector) lose(snapshot []byte) {
	s, _ := Describe(snapshot) // of its own making
	c.lost += s.Producers
}

// End returns what the stretch says, the oldest first, how many bytes are charged for
// that, which it is for the caller to give back, and how many ids were left out for lack
// of room; one may count twice.
func (c *Collector) End() (snapshots [][]byte, charged int64, lost int) {
	c.cut()
	c.held.Refund(collectBytes)
	for _, s := range c.snapshots {
		charged += int64(len(s))
	}
	return c.snapshots, charged, c.lost
}
