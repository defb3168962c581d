// Package rebalance is the state machine of one consumer group: who its members
// are, who leads, which generation and protocol hold, and who waits for what.
//
// A Group takes one Event at a time and returns Effects: answers to requests,
// and state to be written. It reads no clock, starts nothing and draws no random
// numbers: the time and new member ids come with the events, and Wake says when
// it wants the next Tick. The same events always give the same effects.
//
// Invariants:
//
//   - A Ticket is answered exactly once, also when its member is removed, fenced
//     or asks again.
//   - The generation never falls. A new one begins only when every member has
//     joined or was removed, and it has one leader, who is a member.
//   - A member gets its assignment only after the state was written (Write, then
//     Written), so that a restarted coordinator knows the generation it belongs to.
//
// States and error codes are those of Kafka's classic group coordinator
// (protocol guide, "Group Membership API"), with static members (KIP-345), ids
// given before the first join (KIP-394), the assignment skipped after the restart
// of a static leader (KIP-814), and members removed that were told of a
// generation and do not sync within the rebalance timeout.
//
// Three things differ. Ids that were given and not come back with are bounded, in number
// and with the members in bytes; those that would end first give way. A request that waits when its member sends another gets
// REBALANCE_IN_PROGRESS; Kafka leaves it without an answer. And a static member
// that does not come to a rebalance stays until its session ends, as KIP-345 says;
// Kafka removes it when the generation's time to sync is over.
package rebalance
