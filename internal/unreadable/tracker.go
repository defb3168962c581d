package unreadable

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// ErrLasting: the records are missing or damaged, and have been for so long that
// trying again is of no use to a client.
var ErrLasting = errors.New("records cannot be read, and that does not pass by itself")

// ErrUnreadable: the records cannot be read now. Every error of a tracker is that.
var ErrUnreadable = errors.New("records cannot be read now")

// Reason is why something cannot be read.
type Reason int

const (
	// Missing: it is not where the metadata says it is.
	Missing Reason = iota
	// Damaged: it is there, and is not what was written.
	Damaged
	// Denied: the store does not let this broker read.
	Denied
	// Unavailable: there was no answer, or none that says anything of the records.
	Unavailable
	reasons
)

// String returns the metric label of r.
func (r Reason) String() string { return [...]string{"missing", "damaged", "denied", "unavailable"}[r] }

// confirms says whether a failure for that reason is one of the records themselves.
func (r Reason) confirms() bool { return r == Missing || r == Damaged }

// Place is what cannot be read: an object as a whole, a part of it, or a part of the
// WAL. It is comparable, and the same at each attempt.
type Place struct {
	Object    meta.ObjectID   // zero: in the WAL
	Partition topic.Partition // zero: the object as a whole
	Base, End int64           // offsets [Base, End) of Partition
}

func (p Place) source() string {
	if p.Object == (meta.ObjectID{}) {
		return "wal"
	}
	return "object"
}

// Records says which records of which partition are at a place.
type Records struct {
	Topic     string
	Partition int32
	Base, End int64
}

func (r Records) String() string {
	return fmt.Sprintf("%s/%d offsets %d to %d", r.Topic, r.Partition, r.Base, r.End-1)
}

// Error is what a reader of a place is given.
type Error struct {
	Place
	Reason  Reason
	Lasting bool
	Err     error
}

func (e *Error) Error() string {
	if e.Lasting {
		return ErrLasting.Error() + ": " + e.Err.Error()
	}
	return e.Err.Error()
}

// Unwrap returns what the last attempt failed with.
func (e *Error) Unwrap() error { return e.Err }

// Class tells what is lost from what passes.
func (e *Error) Class() fault.Class {
	if e.Lasting {
		return fault.ClassLost
	}
	return fault.ClassTransient
}

// KafkaCode has clients try again while that may help. After that it is one that their
// applications learn of: docs/decisions/0027.
func (e *Error) KafkaCode() int16 {
	if e.Lasting {
		return kerr.InvalidRecord.Code
	}
	return kerr.KafkaStorageError.Code
}

// Is says whether e is ErrLasting, and that it is ErrUnreadable.
func (e *Error) Is(target error) bool {
	return target == ErrUnreadable || target == ErrLasting && e.Lasting
}

// Deps is what a tracker works with. All of it is required.
type Deps struct {
	// Records returns what the metadata has at a place, nothing when it does not
	// name it any more. It must not call the tracker.
	Records  func(Place) []Records
	Clock    clock.Clock
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Tracker has the places that cannot be read now. Safe for concurrent use.
type Tracker struct {
	cfg     Config
	deps    Deps
	metrics metrics

	mu     sync.Mutex
	places map[Place]*incident
	lines  lines
	away   [reasons]outage
	pruned time.Time
}

// incident is one place that cannot be read.
type incident struct {
	err       *Error
	first     time.Time // confirmed for the first time
	confirmed int       // attempts that found it missing or damaged
	attempts  int
	next      time.Time // no attempt before
	seen      time.Time // last attempt
	logged    time.Time
	said      int // attempts at the last line
}

// outage is a store that does not answer, or denies.
type outage struct {
	logged time.Time
	reads  int // that failed since
	last   time.Time
}

// New returns a tracker with its metrics registered.
func New(cfg Config, d Deps) *Tracker {
	t := &Tracker{cfg: cfg, deps: d, places: make(map[Place]*incident)}
	t.metrics = newMetrics(d.Registry, t.count)
	return t
}

// Known returns the error to give to a reader of a place that was tried not long
// ago, nil when it is to be tried.
func (t *Tracker) Known(p Place) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.places[p]
	if x == nil || !t.deps.Clock.Now().Before(x.next) {
		return nil
	}
	t.metrics.reads[p.source()][x.err.Reason].Inc()
	return x.err
}

// Failed takes in that an attempt to read a place failed, and returns the error for
// its readers: err itself where the metadata does not name the place any more, which is
// nobody's fault.
func (t *Tracker) Failed(p Place, why Reason, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	if why.confirms() && len(t.deps.Records(p)) == 0 {
		return err
	}
	t.metrics.reads[p.source()][why].Inc()
	now := t.deps.Clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.places[p]
	if x == nil {
		t.makeRoom()
		x = &incident{}
		t.places[p] = x
	}
	x.attempts++
	x.seen = now
	if why.confirms() {
		if x.confirmed++; x.confirmed == 1 {
			x.first = now
		}
	}
	lasting := why.confirms() && x.confirmed >= leastConfirmed && now.Sub(x.first) >= t.cfg.LastingAfter
	began := lasting && (x.err == nil || !x.err.Lasting)
	x.err = &Error{Place: p, Reason: why, Lasting: lasting, Err: err}
	x.next = now.Add(t.pause(x, why))
	if why.confirms() {
		t.say(x, now, began)
	} else {
		t.sayAway(x, now)
	}
	return x.err
}

// leastConfirmed is how many attempts have to find a place missing or damaged before
// that lasts, however long it has been.
const leastConfirmed = 3

// pause is how long to wait before the next attempt: it doubles, and is never so long
// that the last attempt before LastingAfter would be far from it.
func (t *Tracker) pause(x *incident, why Reason) time.Duration {
	first, last := min(firstPause, t.cfg.LastingAfter/8), lastPause
	if !why.confirms() {
		first, last = firstPauseAway, lastPauseAway
	}
	d := first
	for n := 1; n < x.attempts && d < last; n++ {
		d *= 2
	}
	return min(d, last)
}

// Pauses between attempts: of what is missing or damaged, and while the store is away,
// when the first read that succeeds should not be far off.
const (
	firstPause     = time.Second
	lastPause      = 10 * time.Second
	firstPauseAway = 200 * time.Millisecond
	lastPauseAway  = 2 * time.Second
)

// Read takes in that a place was read, in the WAL with all that is in it.
func (t *Tracker) Read(p Place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over(p)
	if p.source() != "wal" {
		return
	}
	for q := range t.places {
		if q.source() == "wal" && q.Partition == p.Partition && p.Base <= q.Base && q.End <= p.End {
			t.over(q)
		}
	}
}

// over ends what there is of a place. REQUIRES: mu.
func (t *Tracker) over(p Place) {
	x := t.places[p]
	if x == nil {
		return
	}
	delete(t.places, p)
	if x.confirmed > 0 && !x.logged.IsZero() {
		t.deps.Log.Info("records can be read again", t.where(p)...)
	}
}

// makeRoom forgets the places that nobody has tried for longest. REQUIRES: mu.
func (t *Tracker) makeRoom() {
	for len(t.places) >= maxPlaces {
		var oldest Place
		var at time.Time
		for p, x := range t.places {
			if at.IsZero() || x.seen.Before(at) {
				oldest, at = p, x.seen
			}
		}
		delete(t.places, oldest)
	}
}

// maxPlaces bounds the places that are followed.
const maxPlaces = 1024

// pruneAgain is how often places are compared with the metadata, at most.
const pruneAgain = 5 * time.Second

// prune forgets places that the metadata does not name any more, and outages of places
// that nobody reads. The metadata may be large, so readers do not wait for that.
func (t *Tracker) prune() {
	now := t.deps.Clock.Now()
	t.mu.Lock()
	if now.Sub(t.pruned) < pruneAgain {
		t.mu.Unlock()
		return
	}
	t.pruned = now
	all := slices.Collect(maps.Keys(t.places))
	t.mu.Unlock()
	gone := slices.DeleteFunc(all, func(p Place) bool { return len(t.deps.Records(p)) > 0 })
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range gone {
		delete(t.places, p)
	}
	maps.DeleteFunc(t.places, func(_ Place, x *incident) bool { return x.confirmed == 0 && now.Sub(x.seen) > time.Minute })
}

// Found is what readers found missing or damaged at a place.
type Found struct {
	Records []Records // that are there, as the metadata has it
	Reason  Reason
	Err     error
}

// Found returns all places that are missing or damaged now, in no order.
func (t *Tracker) Found() (all []Found) {
	t.mu.Lock()
	var errs []*Error
	for _, x := range t.places {
		if x.confirmed > 0 {
			errs = append(errs, x.err)
		}
	}
	t.mu.Unlock()
	for _, e := range errs { // the metadata may be large, so readers do not wait for that
		if here := t.deps.Records(e.Place); len(here) > 0 {
			all = append(all, Found{here, e.Reason, e.Err})
		}
	}
	return all
}

// count returns how many places are missing or damaged, by source.
func (t *Tracker) count(source string) (n float64) {
	t.prune()
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, x := range t.places {
		if x.confirmed > 0 && p.source() == source {
			n++
		}
	}
	return n
}
