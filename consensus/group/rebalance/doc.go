// Package rebalance is the state machine of one consumer group: its members, leader, generation
// and protocol, and the requests that wait for them.
//
// A Group takes one Event at a time and returns Effects: replies to requests, and state to
// write. It reads no clock, starts no goroutine and draws no random numbers: times and new
// member ids come with the events, and Wake returns when the next Tick is due. The same events
// always give the same effects.
//
// Invariants:
//
//   - A Ticket is answered exactly once, also if its member is removed, fenced
//     or sends another request.
//   - The generation never decreases. A new one starts only when every member has
//     joined or was removed, and its leader is a member.
//   - A member gets its assignment only after the state was written (Write, then
//     Written), so that a restarted coordinator knows the generation.
//
// States and error codes are those of Kafka's classic group coordinator (protocol guide, "Group
// Membership API"), with static members (KIP-345), member ids required before the first join
// (KIP-394), the assignment skipped when a static leader restarts (KIP-814), and the removal of
// members that do not sync within the rebalance timeout.
//
// There are three differences. Pending member ids, which clients have not come back with, are
// limited in number and, together with the members, in bytes; those that end first are dropped.
// A waiting request whose member sends another one gets REBALANCE_IN_PROGRESS; Kafka never
// answers it. And a static member that misses a rebalance stays until its session ends, as
// KIP-345 says; Kafka removes it when the sync phase ends.
package rebalance
