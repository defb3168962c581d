package machine

import (
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/replication"
)

// Code is the outcome of a command. The numbers are part of the format.
type Code byte

// The outcomes of commands.
const (
	OK                   Code = 1
	TopicExists          Code = 2
	UnknownTopic         Code = 3
	UnknownBroker        Code = 4
	InvalidPartitions    Code = 5
	InvalidReplicas      Code = 6
	Conflict             Code = 7
	StaleIncarnation     Code = 8
	StaleEpoch           Code = 9
	StaleVersion         Code = 10
	Ineligible           Code = 11
	ElectionNotNeeded    Code = 12
	PreferredUnavailable Code = 13
	InvalidAssignment    Code = 14
	NoReassignment       Code = 15
	StaleSession         Code = 16
)

// outcomes pairs codes with errors.
var outcomes = [...]error{
	OK:                   nil,
	TopicExists:          meta.ErrTopicExists,
	UnknownTopic:         meta.ErrUnknownTopic,
	UnknownBroker:        meta.ErrUnknownBroker,
	InvalidPartitions:    meta.ErrInvalidPartitions,
	InvalidReplicas:      meta.ErrInvalidReplicas,
	Conflict:             meta.ErrConflict,
	StaleIncarnation:     meta.ErrStaleIncarnation,
	StaleEpoch:           replication.ErrStaleEpoch,
	StaleVersion:         replication.ErrStaleVersion,
	Ineligible:           replication.ErrIneligible,
	ElectionNotNeeded:    meta.ErrElectionNotNeeded,
	PreferredUnavailable: meta.ErrPreferredUnavailable,
	InvalidAssignment:    replication.ErrAssignment,
	NoReassignment:       replication.ErrNoReassignment,
	StaleSession:         meta.ErrStaleSession,
}

// Err returns the code as an error of package meta or replication; nil for OK.
func (c Code) Err() error {
	if c >= OK && int(c) < len(outcomes) {
		return outcomes[c]
	}
	return fmt.Errorf("%w: outcome %d", ErrVersion, c)
}

// codeOf is the reverse of Err.
func codeOf(err error) Code {
	if err == nil {
		return OK
	}
	for c := OK + 1; int(c) < len(outcomes); c++ {
		if errors.Is(err, outcomes[c]) {
			return c
		}
	}
	panic(fmt.Sprintf("machine: no code for %v", err))
}

// Result is returned to the proposer of a command.
type Result struct {
	Code   Code
	Number int64  // of RegisterBroker, AllocateIDs and AcquireCoordinator
	Parts  []Code // of a command with many parts, in its order
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
