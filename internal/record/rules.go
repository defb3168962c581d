package record

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

var (
	// ErrNoKey: a record without a key in a compacted topic.
	ErrNoKey = fault.Refused(kerr.InvalidRecord, "record without a key")
	// ErrTimestamp: a record's timestamp is out of the topic's bounds, or claims to
	// be the broker's.
	ErrTimestamp = fault.Refused(kerr.InvalidTimestamp, "invalid timestamp")
	// ErrRecordTooLarge: a record in a compressed batch is larger than the topic allows.
	ErrRecordTooLarge = fault.Refused(kerr.InvalidRecord, "record too large")
)

// RecordError says what is wrong with one record.
type RecordError struct {
	Index, Count int32 // position and number of records
	Err          error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("record %d of %d: %v", e.Index, e.Count, e.Err)
}

// Unwrap returns the cause.
func (e *RecordError) Unwrap() error { return e.Err }

// RecordErrors are the records of a batch that break the topic's rules, in order.
// It wraps ErrTimestamp if one of them does, and ErrNoKey otherwise (KIP-467).
type RecordErrors struct {
	Records []RecordError // the first MaxRecordErrors
	Total   int           // total number
	kind    error
}

// MaxRecordErrors bounds the records that are listed, since a small batch can
// hold millions of them.
const MaxRecordErrors = 10_000

func (e *RecordErrors) Error() string {
	first := &e.Records[0]
	if e.Total == 1 {
		return first.Error()
	}
	return fmt.Sprintf("%d of %d records are invalid; the first is record %d: %v", e.Total, first.Count, first.Index, first.Err)
}

// Unwrap returns ErrTimestamp or ErrNoKey.
func (e *RecordErrors) Unwrap() error { return e.kind }

func (e *RecordErrors) add(i, n int32, err error) *RecordErrors {
	if e == nil {
		e = &RecordErrors{kind: ErrNoKey}
	}
	if errors.Is(err, ErrTimestamp) {
		e.kind = ErrTimestamp
	}
	if e.Total++; len(e.Records) < MaxRecordErrors {
		e.Records = append(e.Records, RecordError{i, n, err})
	}
	return e
}

// judge applies Rules to the records of one batch.
type judge struct {
	keyed, claimed bool  // claimed: the producer set the LogAppendTime bit, which it may not
	oldest, newest int64 // bounds of accepted timestamps
}

func newJudge(b Batch, r Rules) judge {
	j := judge{keyed: r.Keyed, oldest: math.MinInt64, newest: math.MaxInt64}
	switch {
	case r.AppendTime:
		j.claimed = b.LogAppendTime()
	case r.Oldest != 0 || r.Newest != 0:
		j.oldest, j.newest = r.Oldest, r.Newest
	}
	return j
}

func (j *judge) breaks(f *fields, at int64) bool {
	return j.claimed || (at < j.oldest || at > j.newest) && at != -1 || j.keyed && f.key == nil
}

// why returns how a record breaks the rules. Of several reasons it is the one
// that Kafka reports.
func (j *judge) why(f *fields, at int64) error {
	switch {
	case j.keyed && f.key == nil:
		return errNoKey
	case j.claimed:
		return errClaimed
	}
	return &outside{at, j.oldest, j.newest}
}

var (
	errNoKey   = fmt.Errorf("%w; the topic is compacted and requires keys", ErrNoKey)
	errClaimed = fmt.Errorf("%w: it is marked as LogAppendTime, which only the broker may set", ErrTimestamp)
)

// outside is the ErrTimestamp of a record.
type outside struct{ at, oldest, newest int64 }

func (e *outside) Error() string {
	return fmt.Sprintf("%v: %d ms is not between %d and %d ms, as required by message.timestamp.before.max.ms and .after.max.ms",
		ErrTimestamp, e.at, e.oldest, e.newest)
}

func (e *outside) Unwrap() error { return ErrTimestamp }
