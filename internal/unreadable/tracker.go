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

// ErrLasting: the records have been missing or damaged for so long that a client need
// not retry.
var ErrLasting = errors.New("records cannot be read, and that does not pass by itself")

// ErrUnreadable: the records cannot be read now. It matches every Error.
var ErrUnreadable = errors.New("records cannot be read now")

// Reason is why something cannot be read.
type Reason int

const (
	// Missing: the records are not where the metadata says.
	Missing Reason = iota
	// Damaged: what is there is not what was written.
	Damaged
	// Denied: the store denies this broker access.
	Denied
	// Unavailable: there was no response, or none that says anything about the records.
	Unavailable
	reasons
)

// String returns the metric label of r.
func (r Reason) String() string { return [...]string{"missing", "damaged", "denied", "unavailable"}[r] }

// confirms reports whether the reason is about the records themselves, not the store.
func (r Reason) confirms() bool { return r == Missing || r == Damaged }

// Place is what cannot be read: a whole object, a part of one, or a part of the WAL.
// It is comparable, and the same at each attempt.
type Place struct {
	Object    meta.ObjectID   // zero: in the WAL
	Partition topic.Partition // zero: the whole object
	Base, End int64           // offsets [Base, End) of Partition
}

func (p Place) source() string {
	if p.Object == (meta.ObjectID{}) {
		return "wal"
	}
	return "object"
}

// Records is an offset range of a partition, stored at a place.
type Records struct {
	Topic     string
	Partition int32
	Base, End int64
}

func (r Records) String() string {
	return fmt.Sprintf("%s/%d offsets %d to %d", r.Topic, r.Partition, r.Base, r.End-1)
}

// Error is the error that a reader of a place gets.
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

// Unwrap returns the error of the last attempt.
func (e *Error) Unwrap() error { return e.Err }

// Class is lost for a lasting error, else transient.
func (e *Error) Class() fault.Class {
	if e.Lasting {
		return fault.ClassLost
	}
	return fault.ClassTransient
}

// KafkaCode is retriable as long as a retry may help; after that it is one that clients
// report to their applications: docs/decisions/0027.
func (e *Error) KafkaCode() int16 {
	if e.Lasting {
		return kerr.InvalidRecord.Code
	}
	return kerr.KafkaStorageError.Code
}

// Is matches ErrUnreadable, and ErrLasting if e is lasting.
func (e *Error) Is(target error) bool {
	return target == ErrUnreadable || target == ErrLasting && e.Lasting
}

// Deps are the dependencies of a Tracker. All are required.
type Deps struct {
	// Records returns which records the metadata has at a place; none if it no longer
	// refers to it. It must not call the tracker.
	Records  func(Place) []Records
	Clock    clock.Clock
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Tracker tracks the places that cannot be read now. Safe for concurrent use.
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
	first     time.Time // when it was first found missing or damaged
	confirmed int       // attempts that found it missing or damaged
	attempts  int
	next      time.Time // no attempt before this
	seen      time.Time // last attempt
	logged    time.Time
	said      int // attempts, as of the last log line
}

// outage is a time during which the store does not respond, or denies access.
type outage struct {
	logged time.Time
	reads  int // failed since then
	last   time.Time
}

// New returns a tracker with its metrics registered.
func New(cfg Config, d Deps) *Tracker {
	t := &Tracker{cfg: cfg, deps: d, places: make(map[Place]*incident)}
	t.metrics = newMetrics(d.Registry, t.count)
	return t
}

// Known returns the error for a reader of a place if the place was tried recently, and
// nil if it should be tried.
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

// Failed records a failed attempt to read a place, and returns the error for its
// readers. If the metadata no longer refers to the place, that is not a fault, and it
// returns err itself.
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

// leastConfirmed is how many attempts must find a place missing or damaged before it
// becomes lasting, however long it has been.
const leastConfirmed = 3

// pause returns how long to wait before the next attempt. It doubles from attempt to
// attempt, up to a maximum; the first is short compared with LastingAfter.
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

// Pauses between attempts: for what is missing or damaged, and while the store is
// unavailable, when reads should succeed soon after it is back.
const (
	firstPause     = time.Second
	lastPause      = 10 * time.Second
	firstPauseAway = 200 * time.Millisecond
	lastPauseAway  = 2 * time.Second
)

// Read records that a place was read; in the WAL, with every place within it.
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

// over ends the incident of a place, if there is one. REQUIRES: mu.
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

// makeRoom forgets the places that were not tried for longest. REQUIRES: mu.
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

// maxPlaces bounds the places that are tracked.
const maxPlaces = 1024

// pruneAgain is the least time between two comparisons with the metadata.
const pruneAgain = 5 * time.Second

// prune forgets places that the metadata no longer refers to, and those that failed only
// for an outage and that nobody reads. The metadata may be large, so readers do not wait
// for the lookup.
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

// Found is a place that readers found missing or damaged.
type Found struct {
	Records []Records // at the place, according to the metadata
	Reason  Reason
	Err     error
}

// Found returns all places that are missing or damaged now, in no particular order.
func (t *Tracker) Found() (all []Found) {
	t.mu.Lock()
	var errs []*Error
	for _, x := range t.places {
		if x.confirmed > 0 {
			errs = append(errs, x.err)
		}
	}
	t.mu.Unlock()
	for _, e := range errs { // without the lock: the metadata may be large
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
