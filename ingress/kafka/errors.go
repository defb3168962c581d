package kafka

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Coder turns an error into the Kafka error code that a client acts on. It
// returns 0 for nil.
type Coder func(error) int16

// Codes returns a Coder that asks more first, for errors of packages that this
// one may not import, and then knows those of the shared packages. An error
// that nobody knows is UNKNOWN_SERVER_ERROR, which clients do not retry. more
// may be nil.
func Codes(more func(error) (code int16, ok bool)) Coder {
	return func(err error) int16 {
		if err == nil {
			return 0
		}
		if more != nil {
			if code, ok := more(err); ok {
				return code
			}
		}
		var refused *refusal
		if errors.As(err, &refused) {
			return refused.code
		}
		for i := range codes {
			if errors.Is(err, codes[i].err) {
				return codes[i].code.Code
			}
		}
		return kerr.UnknownServerError.Code
	}
}

// codes says what clients are told. Where a client should look for the leader
// again and retry, the code is one that makes it do both.
var codes = [...]struct {
	err  error
	code *kerr.Error
}{
	{meta.ErrUnknownTopic, kerr.UnknownTopicOrPartition},
	{lookup.ErrNotLeader, kerr.NotLeaderForPartition},
	{lookup.ErrUnknownID, kerr.UnknownTopicID},
	{lookup.ErrFencedEpoch, kerr.FencedLeaderEpoch},
	{lookup.ErrUnknownEpoch, kerr.UnknownLeaderEpoch},
	{record.ErrTooLarge, kerr.MessageTooLarge},
	{record.ErrCorrupt, kerr.CorruptMessage},
	{record.ErrNoKey, kerr.InvalidRecord},
	{record.ErrTimestamp, kerr.InvalidTimestamp},
	{record.ErrUnsupported, kerr.UnsupportedForMessageFormat},
	{idempotence.ErrOutOfOrder, kerr.OutOfOrderSequenceNumber},
	{idempotence.ErrFenced, kerr.InvalidProducerEpoch},
	{meta.ErrTopicExists, kerr.TopicAlreadyExists},
	{meta.ErrInvalidPartitions, kerr.InvalidPartitions},
	{meta.ErrInvalidReplicas, kerr.InvalidReplicationFactor},
	{meta.ErrUnknownBroker, kerr.InvalidReplicaAssignment},
	{meta.ErrConflict, kerr.NotController}, // retried against fresh metadata
	{meta.ErrUnavailable, kerr.RequestTimedOut},
	{topic.ErrInvalidName, kerr.InvalidTopicException},
	{topic.ErrUnknownConfig, kerr.InvalidConfig},
	{topic.ErrInvalidConfig, kerr.InvalidConfig},
	{pipeline.ErrTooLarge, kerr.MessageTooLarge},
	{pipeline.ErrDraining, kerr.NotLeaderForPartition},
	{pipeline.ErrClosed, kerr.NotLeaderForPartition},
	{pipeline.ErrAbandoned, kerr.KafkaStorageError},
	{pipeline.ErrPartnerFailed, kerr.KafkaStorageError},
	{context.DeadlineExceeded, kerr.RequestTimedOut},
	{context.Canceled, kerr.RequestTimedOut},
	{errGone, kerr.RequestTimedOut}, // nobody takes the answer
}

// noticed logs errors that code does not know, at most one a second: clients see
// only that something is wrong, so somebody else has to see what.
func noticed(code Coder, log *slog.Logger) Coder {
	var last atomic.Int64 // seconds since epoch
	return func(err error) int16 {
		c := code(err)
		if c != kerr.UnknownServerError.Code {
			return c
		}
		if now, before := time.Now().Unix(), last.Load(); now != before && last.CompareAndSwap(before, now) {
			log.Error("a request failed with an error that has no Kafka code", "error", err)
		}
		return c
	}
}

// refusal is an error of a handler's own, with the code that it is sent as.
type refusal struct {
	code int16
	text string
}

func (r *refusal) Error() string { return r.text }

// refuse returns an error that Codes maps to code. text says what to do.
func refuse(code *kerr.Error, text string) error { return &refusal{code.Code, text} }

// message returns err's text for the error_message of a response; nil for nil.
func message(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	return &text
}
