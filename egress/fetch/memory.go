package fetch

import (
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Memory of a waiting poll with the rest of its request; of each of its partitions, with its
// watch; and of a response not yet taken by the client, beyond its bytes.
const (
	pollBytes      = 1280
	partitionBytes = 160
	answerBytes    = 512
)

// requestBytes returns the memory of a sessionless request.
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

// records returns how many bytes of the response are records, which are charged separately.
func (p *poll) records() (n int64) {
	for i := range p.answers {
		if r := p.answers[i].read; r != nil {
			n += int64(r.Bytes)
		}
	}
	return n
}

// WaitingMemory returns the memory of fetches until their responses are sent, without records,
// and its limit.
func (s *Server) WaitingMemory() (used, limit int64) { return s.waiting.memory(), s.cfg.WaitingBytes }

// SessionMemory returns the memory of fetch sessions, and its limit.
func (s *Server) SessionMemory() (used, limit int64) {
	return s.sessions.memory(), s.cfg.SessionBytes
}

// AnswerMemory returns the record bytes of responses in progress, and their limit.
func (s *Server) AnswerMemory() (used, limit int64) { return s.budget.InUse(), s.budget.Capacity() }
