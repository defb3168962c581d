package upload

import (
	"time"

	"github.com/sluicemq/sluice/internal/partition"
)

// An upload finds its records in the write cache if it is over before the cache has let go
// of them, the oldest first: the cut and what comes meanwhile have to fit. What does not is
// read back from the log, on the disk that producers write to. That makes the upload slower
// and the next one worse: one that is behind stays behind. Two things keep it from that:
//
//   - A cut is closed early, at four fifths of its size at least, where it would not fit
//     together with what comes during its upload, going by the uploads before.
//   - Where objects go to the log's own disk, records come no faster than they are
//     uploaded once the cache is full of what is not. Every byte takes that disk
//     twice, whichever goes first, and a third time if it is read back.
const (
	// cachedShare is the part of the cache that two cuts may take.
	cachedShare = 15. / 16
	// earliest is the part of its size at which a cut may be closed early.
	earliest = 4. / 5
	// What is not uploaded may take slowFrom of the cache until producers are held to the
	// rate of uploads: to slowMost times as much there, down to slowLeast at slowTo. Just
	// above the whole of it little has to be read back, and holding producers back is not
	// free where the disk has nothing else to do, as while an upload is committed.
	slowFrom, slowTo    = 0.85, 1.15
	slowMost, slowLeast = 1.2, 0.4
	// stalled is how long nothing is sent until uploads count as standing still, as while
	// the store is away. Nobody is held to that: the log has its room for it.
	stalled = 250 * time.Millisecond
	// sentSample and sentMemory are those of the rate of uploads.
	sentSample = 20 * time.Millisecond
	sentMemory = 100 * time.Millisecond
)

// KeepCached has uploads find their records in the write cache, which holds images of limit
// bytes. Call it before Run.
func (l *Ledger) KeepCached(limit func() int64) { l.images = limit }

// early says that the open cut should be closed before it has its size. REQUIRES: mu is held.
func (l *Ledger) early() bool {
	if l.images == nil {
		return false
	}
	least, room := earliest*float64(l.Config().SizeBytes), cachedShare*float64(l.images())
	return least < room && float64(l.bytes) >= least && float64(l.openImages)*(1+l.meanwhile) >= room
}

// learn notes how much came while c was uploaded. REQUIRES: mu is held.
func (l *Ledger) learn(c *Cut) {
	if c.Bytes >= l.Config().SizeBytes/4 {
		came := float64(l.came-max(c.came, l.cameBefore)) / float64(c.Bytes)
		l.meanwhile = (l.meanwhile + min(came, 2)) / 2
	}
	l.cameBefore = l.came
}

// Rate returns the bytes a second at which records may come so that uploads find theirs in
// the write cache; 0: any. It is for a log and objects on one disk, where uploads are as fast
// as producers leave them room. Ask it often: the rate of uploads is measured
// meanwhile. end is how far the log has got, which is further than what was noted. Safe for
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

// sending returns the bytes a second that uploads send while they do; zero if they stand
// still.
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
		if passed > stalled || p.sentRate == 0 { // they have begun meanwhile
			p.sentRate = rate
		}
		p.sentRate += (rate - p.sentRate) * min(1, float64(passed)/float64(sentMemory))
		p.sentBefore, p.sentAt = total, now
	}
	return p.sentRate
}
