package fetch

import (
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What is taken of memory by a poll that waits, with what is left of its request; by
// each partition that it names, with the place of its watch; and by an answer that its
// client has not taken, beside its bytes.
const (
	pollBytes      = 1280
	partitionBytes = 160
	answerBytes    = 512
)

// requestBytes is what a request takes that is its own session.
func requestBytes(req *kmsg.FetchRequest) int64 {
	n := int64(pollBytes)
	for i := range req.Topics {
		t := &req.Topics[i]
		n += int64(len(t.Topic)) + int64(len(t.Partitions))*partitionBytes
	}
	return n
}

func sizeOf(body net.Buffers) (n int64) {
	for _, b := range body {
		n += int64(len(b))
	}
	return n
}

// records is how much of the answer are records, which are charged as such.
func (p *poll) records() (n int64) {
	for i := range p.answers {
		if r := p.answers[i].read; r != nil {
			n += int64(r.Bytes)
		}
	}
	return n
}

// WaitingMemory returns what fetches take until their answers are sent, but for records,
// and how much there may be.
func (s *Server) WaitingMemory() (used, limit int64) { return s.waiting.memory(), s.cfg.WaitingBytes }

// SessionMemory returns the bytes that fetch sessions take, and may take.
func (s *Server) SessionMemory() (used, limit int64) {
	return s.sessions.memory(), s.cfg.SessionBytes
}

// AnswerMemory returns the bytes of records in answers under way, and how many there
// may be.
func (s *Server) AnswerMemory() (used, limit int64) { return s.budget.InUse(), s.budget.Capacity() }
