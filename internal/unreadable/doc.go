// Package unreadable keeps account of records that should be readable and are not:
// whoever reads an object or the WAL reports here what failed and what can be read
// again.
//
// In: a place, why it cannot be read, the error. Out: the error that readers are
// given, a log line that names object, topic, partition and offsets, metrics.
//
// A place goes through these states:
//
//	failing   the first report; clients are told to try again
//	lasting   missing or damaged at each attempt for Config.LastingAfter: clients
//	          are told that it will not pass by itself (ErrLasting)
//	over      it was read, or the metadata does not name it any more
//
// A store that is away, or that denies access, never makes a place lasting: the
// records are there. Between attempts there are pauses, during which readers get the
// last error without a request being made. Lines in the log are bounded in number: a
// place once when it fails and once when that lasts, then once an hour with a count;
// a store that is away once in five minutes, whatever is read.
package unreadable
