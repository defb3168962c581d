package idempotence

import "github.com/sluicemq/sluice/internal/memory"

// Collector builds snapshots of the producer state in a range of a log, without
// holding all of it in memory like a Table: 112 bytes per ID become some 15 in a
// snapshot. Not safe for concurrent use.
type Collector struct {
	held      *memory.Account // the snapshots are charged to it
	ps        *Producers
	snapshots [][]byte
	lost      int
}

// collectBytes is the size of a Collector's table; a full one becomes a snapshot.
const collectBytes = 512 << 10

// NewCollector returns a Collector whose memory is charged to held.
func NewCollector(held *memory.Account) *Collector {
	held.Charge(collectBytes)
	return &Collector{held: held, ps: NewTable(collectBytes).Open()}
}

// Append adds the next batch of the range.
func (c *Collector) Append(b Batch, base int64) {
	if b.ProducerID == NoProducer {
		return
	}
	if c.ps.table.used+producerBytes+earlierBytes+bucketBytes > collectBytes {
		c.flush()
	}
	c.ps.Append(b, base)
}

// flush turns the content of the table into a snapshot. If there is no memory for
// it, the oldest snapshots are dropped.
func (c *Collector) flush() {
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
	s, _ := Describe(snapshot) // written by ourselves
	c.lost += s.Producers
}

// End returns the snapshots, oldest first, the bytes charged for them, which the
// caller must refund, and the number of IDs dropped for lack of memory; an ID may
// count twice.
func (c *Collector) End() (snapshots [][]byte, charged int64, lost int) {
	c.flush()
	c.held.Refund(collectBytes)
	for _, s := range c.snapshots {
		charged += int64(len(s))
	}
	return c.snapshots, charged, c.lost
}
