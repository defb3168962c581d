package machine

import (
	"fmt"

	"github.com/sluicemq/sluice/internal/meta"
)

// Code is the outcome of a command. The numbers are part of the format.
type Code byte

// The outcomes of commands.
const (
	OK                Code = 1
	TopicExists       Code = 2
	UnknownTopic      Code = 3
	UnknownBroker     Code = 4
	InvalidPartitions Code = 5
	InvalidReplicas   Code = 6
	Conflict          Code = 7
)

// Err returns the code as an error of package meta; nil for OK.
func (c Code) Err() error {
	switch c {
	case OK:
		return nil
	case TopicExists:
		return meta.ErrTopicExists
	case UnknownTopic:
		return meta.ErrUnknownTopic
	case UnknownBroker:
		return meta.ErrUnknownBroker
	case InvalidPartitions:
		return meta.ErrInvalidPartitions
	case InvalidReplicas:
		return meta.ErrInvalidReplicas
	case Conflict:
		return meta.ErrConflict
	}
	return fmt.Errorf("%w: outcome %d", ErrVersion, c)
}

// Result is returned to the proposer of a command.
type Result struct {
	Code   Code
	Number int64  // of RegisterBroker and AllocateIDs
	Parts  []Code // of CommitParts, in its order
}

func (r *Result) layout(c *coder) {
	c.byte((*byte)(&r.Code))
	c.int64(&r.Number)
	list(c, &r.Parts, 1, func(c *coder, p *Code) { c.byte((*byte)(p)) })
}

// Encode encodes the result.
func (r Result) Encode() []byte {
	c := begin(Version)
	r.layout(c)
	return c.buf
}

// DecodeResult decodes a result.
func DecodeResult(b []byte) (r Result, err error) {
	c := open(b, Version, Version)
	r.layout(c)
	return r, c.end()
}
