package feed

import "time"

// Registered is a broker as shard 0 has it.
type Registered struct {
	Broker      int32
	Incarnation uint64
	Session     uint64 // the number of its session
	Fenced      bool   // it is not live in it
	Address     string // where its process listens for other brokers; empty: nowhere
}

// leases decides when brokers' sessions end. It is pure: time comes with the events, from a
// monotonic clock.
//
//	streams of the session   ends, unless something happens before
//	at least one             Lease after something was last heard
//	all broken               Grace after the last one broke, but not later than the lease
//	none heard here          Lease after this controller became the leader, or saw the registration; but
//	                         Grace after nobody listens at the broker's address
//
// Only the leader of shard 0 asks. It keeps what it saw before it became the leader, so a broker
// that died together with the previous leader does not get another lease. But where it has heard
// nothing for longer than Lease, the leader before must have: that counts as none. A controller that has
// just started hears of brokers only once they have reconnected, so where it has none it looks whether the
// process listens: if not, it has ended, as when its streams break.
type leases struct {
	lease, grace time.Duration

	sessions map[int32]*session
	seen     map[int32]sighting // registrations of which nothing is heard
	leads    bool
	since    time.Time // when it became the leader
	last     time.Time // of the last event
}

type session struct {
	incarnation uint64
	streams     int
	heard       time.Time
	broke       time.Time // the last stream; only if streams is 0
}

type sighting struct {
	incarnation uint64
	since       time.Time
	refused     time.Time // since when nobody listens at its address; zero: somebody may
}

func newLeases(lease, grace time.Duration) *leases {
	return &leases{lease: lease, grace: grace, sessions: make(map[int32]*session), seen: make(map[int32]sighting)}
}

// pass moves all times by what passed without any event, beyond what is usual: the process was
// suspended or starved, and has not heard what was sent meanwhile.
func (l *leases) pass(now time.Time) {
	gap := now.Sub(l.last)
	if !l.last.IsZero() && gap > l.lease/2 {
		for _, s := range l.sessions {
			s.heard, s.broke = s.heard.Add(gap), s.broke.Add(gap)
		}
		for b, s := range l.seen {
			s.since = s.since.Add(gap)
			if !s.refused.IsZero() {
				s.refused = s.refused.Add(gap)
			}
			l.seen[b] = s
		}
		l.since = l.since.Add(gap)
	}
	l.last = now
}

// opened notes a new stream. It returns false if a later incarnation of the broker has a session.
func (l *leases) opened(broker int32, incarnation uint64, now time.Time) bool {
	l.pass(now)
	s := l.sessions[broker]
	if s != nil && s.incarnation > incarnation {
		return false
	}
	if s == nil || s.incarnation < incarnation {
		s = &session{incarnation: incarnation}
		l.sessions[broker] = s
	}
	s.streams++
	s.heard = now
	return true
}

// heard notes a heartbeat. It returns false if a later incarnation has a session.
func (l *leases) heard(broker int32, incarnation uint64, now time.Time) bool {
	l.pass(now)
	s := l.sessions[broker]
	if s == nil || s.incarnation != incarnation {
		return false
	}
	s.heard = now
	return true
}

// broke notes the end of a stream that was opened.
func (l *leases) broke(broker int32, incarnation uint64, now time.Time) {
	l.pass(now)
	s := l.sessions[broker]
	if s == nil || s.incarnation != incarnation {
		return
	}
	if s.streams--; s.streams == 0 {
		s.broke = now
	}
}

// leader says whether this controller leads shard 0.
func (l *leases) leader(leads bool, now time.Time) {
	l.pass(now)
	if leads && !l.leads {
		clear(l.seen)
		l.since = now
	}
	l.leads = leads
}

// due returns the brokers that have no session, fenced already or not, and when the next one may end.
// REQUIRES: this controller leads.
func (l *leases) due(registered []Registered, now time.Time) (ended []Registered, next time.Time) {
	l.pass(now)
	next = now.Add(l.lease)
	there := make(map[int32]bool, len(registered))
	for _, r := range registered {
		there[r.Broker] = true
		ends := l.ends(r, now)
		if !ends.After(now) {
			ended = append(ended, r)
		} else if ends.Before(next) {
			next = ends
		}
	}
	for b := range l.seen {
		if !there[b] {
			delete(l.seen, b)
		}
	}
	for b, s := range l.sessions {
		if !there[b] && s.streams == 0 {
			delete(l.sessions, b)
		}
	}
	return ended, next
}

// unheard reports whether nothing is heard of a broker, so that one may look whether it listens.
func (l *leases) unheard(r Registered) bool {
	seen, ok := l.seen[r.Broker]
	return ok && seen.incarnation == r.Incarnation
}

// looked notes whether somebody listens at the address of a broker of which nothing is heard.
func (l *leases) looked(r Registered, listens bool, now time.Time) {
	l.pass(now)
	seen, ok := l.seen[r.Broker]
	if !ok || seen.incarnation != r.Incarnation {
		return
	}
	if listens {
		seen.refused = time.Time{}
	} else if seen.refused.IsZero() {
		seen.refused = now
	}
	l.seen[r.Broker] = seen
}

// ends returns when the session of a broker ends if nothing happens.
func (l *leases) ends(r Registered, now time.Time) time.Time {
	s := l.sessions[r.Broker]
	if s != nil && s.incarnation == r.Incarnation && !s.heard.Add(l.lease).Before(l.since) {
		delete(l.seen, r.Broker)
		ends := s.heard.Add(l.lease)
		if grace := s.broke.Add(l.grace); s.streams == 0 && grace.Before(ends) {
			return grace
		}
		return ends
	}
	seen, ok := l.seen[r.Broker]
	if !ok || seen.incarnation != r.Incarnation {
		seen = sighting{incarnation: r.Incarnation, since: now}
		l.seen[r.Broker] = seen
	}
	ends := seen.since.Add(l.lease)
	if grace := seen.refused.Add(l.grace); !seen.refused.IsZero() && grace.Before(ends) {
		return grace
	}
	return ends
}
