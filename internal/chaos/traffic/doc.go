// Package traffic produces to every partition of a topic while servers fail, reads along, and
// reads everything back at the end. What happened goes to a [check.Ledger].
//
// Each partition has a client of its own, so that a partition that waits delays no other. The
// clients retry soon and give up on a silent broker soon (see [Options]): the servers are to be
// measured, not the timers of a client.
package traffic
