package check

import "sync"

// Ledger is what producers and readers experienced. It is safe for concurrent use.
type Ledger struct {
	run        uint64
	partitions []partition
}

type partition struct {
	mu    sync.Mutex
	acked []int64 // by number: the acknowledged offset, or one of the values below
	seen  []int64 // by offset: the number that a reader got, or notSeen
}

const (
	notAcked      = -1
	unknownOffset = -2 // acknowledged without an offset
	notSeen       = -1
	unreadable    = -2 // seen, but not a record of this run
)

// NewLedger returns the ledger of a run, whose records have its number.
func NewLedger(run uint64, partitions int) *Ledger {
	return &Ledger{run: run, partitions: make([]partition, partitions)}
}

// Partitions returns how many there are.
func (l *Ledger) Partitions() int { return len(l.partitions) }

// Next returns the ID of the next record of a partition, which counts as sent from now on.
func (l *Ledger) Next(p int32) ID {
	s := &l.partitions[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = append(s.acked, notAcked)
	return ID{l.run, p, int64(len(s.acked) - 1)}
}

// Acked notes an acknowledgement. A negative offset is one that the server did not tell, as in
// the answer to a retry.
func (l *Ledger) Acked(id ID, offset int64) {
	s := &l.partitions[id.Partition]
	s.mu.Lock()
	defer s.mu.Unlock()
	if offset < 0 {
		offset = unknownOffset
	}
	s.acked[id.Number] = offset
}

// Seen notes what a reader got during the run.
func (l *Ledger) Seen(p int32, offset int64, value []byte) (again bool) {
	number := int64(unreadable)
	if id, err := ParseValue(value); err == nil && id.Run == l.run && id.Partition == p {
		number = id.Number
	}
	s := &l.partitions[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	for int64(len(s.seen)) <= offset {
		s.seen = append(s.seen, notSeen)
	}
	again = s.seen[offset] != notSeen && s.seen[offset] != number
	if s.seen[offset] == notSeen {
		s.seen[offset] = number
	}
	return again
}

// Counts returns the sent and acknowledged records of all partitions.
func (l *Ledger) Counts() (sent, acked int64) {
	for i := range l.partitions {
		s := &l.partitions[i]
		s.mu.Lock()
		sent += int64(len(s.acked))
		for _, o := range s.acked {
			if o != notAcked {
				acked++
			}
		}
		s.mu.Unlock()
	}
	return sent, acked
}
