package node

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/stages/admit"
	"github.com/sluicemq/sluice/stages/locate"
	"github.com/sluicemq/sluice/stages/objectfetch"
	"github.com/sluicemq/sluice/stages/sequence"
	"github.com/sluicemq/sluice/stages/upload"
	"github.com/sluicemq/sluice/stages/wal"
)

// stageCodes says what clients are told of the stages' errors.
var stageCodes = [...]struct {
	err  error
	code *kerr.Error
}{
	{unreadable.ErrLasting, kerr.InvalidRecord}, // consumers' applications learn of it; see docs/decisions/0027
	{unreadable.ErrUnreadable, kerr.KafkaStorageError},
	{objectstore.ErrUnavailable, kerr.KafkaStorageError},
	{objectstore.ErrRefused, kerr.KafkaStorageError},
	{objectstore.ErrShort, kerr.KafkaStorageError},
	{wal.ErrCorrupt, kerr.KafkaStorageError},
	{wal.ErrReclaimed, kerr.KafkaStorageError},
	{admit.ErrControl, kerr.InvalidRecord},
	{idempotence.ErrLoading, kerr.LeaderNotAvailable}, // which all clients try again
	{sequence.ErrDeleted, kerr.UnknownTopicOrPartition},
	{locate.ErrDeleted, kerr.UnknownTopicOrPartition},
	{locate.ErrOutOfRange, kerr.OffsetOutOfRange},
	{locate.ErrMissing, kerr.KafkaStorageError},
	{wal.ErrFailed, kerr.KafkaStorageError},
	{ErrHole, kerr.KafkaStorageError},
	{upload.ErrQuarantined, kerr.KafkaStorageError},
	{object.ErrCorrupt, kerr.KafkaStorageError},
	{object.ErrUnsupported, kerr.KafkaStorageError},
	{objectstore.ErrNotFound, kerr.KafkaStorageError},
	{objectfetch.ErrRange, kerr.KafkaStorageError},
}

func stageCode(err error) (int16, bool) {
	for i := range stageCodes {
		if errors.Is(err, stageCodes[i].err) {
			return stageCodes[i].code.Code, true
		}
	}
	return 0, false
}
