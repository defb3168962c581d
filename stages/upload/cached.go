package upload

import (
	"time"

	"github.com/sluicemq/sluice/internal/partition"
)

// An upload finds its records in the write cache if it ends before the cache evicts them,
// oldest first: the cut and whatever arrives during its upload have to fit. What does not
// fit is read back from the WAL, on the disk that producers write to. That makes the upload
// slower and the next one worse: once uploads lag, they keep lagging. Two rules prevent that:
//
//   - A cut is closed early, at no less than four fifths of its size, if it would not fit
//     together with what arrives during its upload, judging by earlier uploads.
//   - If objects go to the WAL's own disk, records are accepted no faster than they are
//     uploaded once the cache is full of records not yet uploaded. Every byte is written to
//     that disk twice, in whatever order, and if it is read back, that is a third transfer.
const (
	// cachedShare is the fraction of the cache that two cuts may occupy.
	cachedShare = 15. / 16
	// earliest is the fraction of its size at which a cut may be closed early.
	earliest = 4. / 5
	// Once records not yet uploaded occupy slowFrom of the cache, producers are limited to
	// the rate of uploads times a factor that falls from slowMost to slowLeast, reached at
	// slowTo. Slightly above the size of the cache little has to be read back, and limiting
	// producers has a cost while the disk is otherwise idle, as when an upload is committed.
	slowFrom, slowTo    = 0.85, 1.15
	slowMost, slowLeast = 1.2, 0.4
	// stalled is how long nothing is sent before uploads count as stalled, as when the
	// store is unavailable. Producers are not limited then: the WAL has space for that.
	stalled = 250 * time.Millisecond
	// sentSample and sentMemory are the sample interval and the averaging window of the
	// rate of uploads.
	sentSample = 20 * time.Millisecond
	sentMemory = 100 * time.Millisecond
)

// KeepCached makes cuts small enough, and Rate low enough, for uploads to find their records
// in the write cache, which holds limit bytes of images. Call it before Run.
func (l *Ledger) KeepCached(limit func() int64) { l.images = limit }

// early reports whether the open cut should be closed before it reaches its size.
// REQUIRES: mu is held.
func (l *Ledger) early() bool {
	if l.images == nil {
		return false
	}
	least, room := earliest*float64(l.Config().SizeBytes), cachedShare*float64(l.images())
	return least < room && float64(l.bytes) >= least && float64(l.openImages)*(1+l.meanwhile) >= room
}

// learn records how much arrived while c was uploaded. REQUIRES: mu is held.
func (l *Ledger) learn(c *Cut) {
	if c.Bytes >= l.Config().SizeBytes/4 {
		came := float64(l.came-max(c.came, l.cameBefore)) / float64(c.Bytes)
		l.meanwhile = (l.meanwhile + min(came, 2)) / 2
	}
	l.cameBefore = l.came
}

// Rate returns the bytes per second that may be accepted so that uploads find their records
// in the write cache; 0: unlimited. It is for a WAL and objects on one disk, where uploads
// get the bandwidth that producers leave. Call it often: each call also samples the rate of
// uploads. end is the end of the WAL, which is ahead of the groups noted. Safe for
// concurrent use.
func (l *Ledger) Rate(end partition.Position) float64 {
	sent := l.pace.sending(l.clock.Now())
	if l.images == nil || sent == 0 {
		return 0
	}
	l.mu.Lock()
	images := l.cached
	if l.end > 0 && end > l.end {
		images += int64(end - l.end)
	}
	l.mu.Unlock()
	over := (float64(images)/float64(l.images()) - slowFrom) / (slowTo - slowFrom)
	if over < 0 {
		return 0
	}
	return sent * (slowMost - (slowMost-slowLeast)*min(1, over))
}

// sending returns the rate in bytes per second at which uploads send; zero if they are
// stalled.
func (p *pace) sending(now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := p.sent.Load()
	switch passed := now.Sub(p.sentAt); {
	case p.sentAt.IsZero():
		p.sentBefore, p.sentAt = total, now
	case total == p.sentBefore && passed > stalled:
		p.sentRate = 0
	case total > p.sentBefore && passed >= sentSample:
		rate := float64(total-p.sentBefore) / passed.Seconds()
		if passed > stalled || p.sentRate == 0 { // they have started or resumed
			p.sentRate = rate
		}
		p.sentRate += (rate - p.sentRate) * min(1, float64(passed)/float64(sentMemory))
		p.sentBefore, p.sentAt = total, now
	}
	return p.sentRate
}
