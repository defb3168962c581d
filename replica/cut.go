package replica

import (
	"errors"
	"time"

	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/replication"
)

// cut shortens the log to an offset, or empties it to continue at one, in the
// background. No write of the partition is in flight. REQUIRES: the lane is locked.
func (r *replica) cut(truncate, restart *int64) {
	if r.set.life.Err() != nil {
		return
	}
	r.set.background.Go(func() {
		var err error
		if restart != nil {
			err = r.restart(*restart)
		} else {
			err = r.truncate(*truncate)
		}
		if err != nil {
			if r.set.life.Err() == nil {
				r.set.Logger.Error("cannot shorten the log of a partition; it is not replicated here until the broker is restarted", "partition", r.state.ID, "err", err)
			}
			return
		}
		r.set.do(r.state, (*replication.Replica).Truncated)
	})
}

// truncate makes the log end at offset to.
func (r *replica) truncate(to int64) error {
	if err := r.set.Deps.Log.Truncate(r.set.life, r.state.ID, to); err != nil {
		return err
	}
	var short partition.Entry
	if e, ok := r.state.Tail.At(to); ok && e.Base < to {
		c := r.read(e)
		if len(c.bytes) == 0 {
			return errUnreadable
		}
		short = shorten(e, c.bytes, to)
		c.release()
	}
	r.state.Tail.Truncate(to, short)
	r.state.TruncateEpochs(to)
	return r.reload(to)
}

// shorten returns the part of e below offset to, which is a batch boundary. batches
// are its bytes.
func shorten(e partition.Entry, batches []byte, to int64) partition.Entry {
	short := e
	short.Size, short.Count, short.Batches, short.MaxTimestamp = 0, 0, 0, -1
	for rest := batches; len(rest) > 0; {
		b, more, err := record.Next(rest)
		if err != nil || b.NextOffset() > to {
			break
		}
		short.Size += int32(len(b))
		short.Count += b.LastOffsetDelta() + 1
		short.Batches++
		short.MaxTimestamp = max(short.MaxTimestamp, b.MaxTimestamp())
		rest = more
	}
	return short
}

// restart empties the log, which continues at start: everything below is in
// objects.
func (r *replica) restart(start int64) error {
	if err := r.set.Deps.Log.Truncate(r.set.life, r.state.ID, 0); err != nil {
		return err
	}
	r.state.Tail.Truncate(0, partition.Entry{})
	r.state.TruncateEpochs(start)
	r.state.SetTierEnd(start)
	r.state.Lane.Lock()
	r.state.Publish(start)
	r.state.Lane.Unlock()
	return r.reload(start)
}

// reload makes the producers what the snapshots in objects say, and the log up to
// end. Nothing is appended meanwhile.
func (r *replica) reload(end int64) error {
	producers := r.set.Forget(r.state)
	now := r.set.nowMs()
	for e := range r.state.Tail.Entries(r.state.TierEnd(), end) {
		c := r.read(e)
		if len(c.bytes) == 0 {
			return errUnreadable
		}
		for rest := c.bytes; len(rest) > 0; {
			b, more, err := record.Next(rest)
			if err != nil {
				c.release()
				return err
			}
			producers.Append(idempotence.Header(b, now), b.BaseOffset())
			rest = more
		}
		c.release()
	}
	r.state.Lane.Lock()
	r.state.Lane.Producers = producers
	r.state.Lane.Unlock()
	return nil
}

var errUnreadable = errors.New("records before the end of the log cannot be read")

// propose proposes a change of the ISR until the metadata has answered or the
// replica no longer wants it. REQUIRES: the lane is locked.
func (r *replica) propose(c replication.ISRChange) {
	if r.set.life.Err() != nil {
		return
	}
	r.set.background.Go(func() {
		first := true
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
			err := r.set.Metadata.AlterISR(r.set.life, r.state.ID, c)
			if err == nil || r.set.life.Err() != nil {
				return // a new version of the record follows
			}
			if errors.Is(err, replication.ErrStaleVersion) || errors.Is(err, replication.ErrStaleEpoch) {
				return // so it does now; it may be the one proposed, applied without an answer
			}
			if first && errors.Is(err, replication.ErrIneligible) {
				r.set.do(r.state, func(p *replication.Replica) { p.ISRRefused(c.Version) })
				return
			}
			first = false
			select {
			case <-time.After(pause):
			case <-r.set.life.Done():
				return
			}
			if !r.wants(c) {
				return
			}
		}
	})
}

// wants reports whether c is still proposed.
func (r *replica) wants(c replication.ISRChange) bool {
	r.state.Lane.Lock()
	defer r.state.Lane.Unlock()
	return r.r.Proposed(c.Version)
}
