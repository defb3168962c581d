// Package unreadable tracks records that should be readable and are not: readers of
// objects and of the WAL report here what failed and what can be read again.
//
// In: a place, why it cannot be read, the error. Out: the error for readers, a log
// line that names object, topic, partition and offsets, metrics.
//
// A place goes through these states:
//
//	failing   from the first report; clients are told to retry
//	lasting   missing or damaged at each attempt for Config.LastingAfter; clients
//	          are told that retrying will not help (ErrLasting)
//	over      it was read, or the metadata no longer refers to it
//
// A store that is unavailable or denies access never makes a place lasting: the
// records may well be intact. Attempts are spaced; in between, readers get the last
// error without a request. Log lines are bounded: for a place, one when it starts to
// fail and one when it becomes lasting, then one an hour with a count; for an
// unavailable store, one in five minutes, whatever is read.
package unreadable
