package partition

import (
	"sync"

	"github.com/sluicemq/sluice/internal/idempotence"
)

// Lane is where batches get their offsets, on the leader. Its lock is also that of
// the partition's replica, so that an epoch begins and ends between two batches.
// All fields are guarded by it.
//
// Offsets below Next are assigned. The log may not have all of them yet: if the
// lane closes meanwhile, those batches are refused, and Next and Producers return
// to what the log has.
type Lane struct {
	sync.Mutex
	Open  bool
	Epoch int32 // stamped on every batch
	Next  int64 // offset of the next record
	// Short means that fewer replicas are in sync than acks=all needs.
	Short     bool
	Producers *idempotence.Producers // nil until the first batch
}
