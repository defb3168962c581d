// Package replication is the replication protocol of one partition as pure logic:
// the rules by which the metadata changes a partition's leader and in-sync replicas
// (Record), and the state machine that every replica of the partition runs (Replica).
// Neither does I/O, reads a clock or starts a goroutine: events go in, effects come out,
// so a simulation can replay any schedule from a seed.
//
// # Terms
//
//   - epoch: the leader epoch (KIP-101). At most one broker leads in an epoch.
//   - version: the version of the partition's Record (Kafka: partition epoch). Every change
//     raises it by one, and a leader names the version that its change is based on.
//   - incarnation: which start of a broker's process; it grows with each.
//   - log end: the offset after the last record that is durable on a replica (LEO). An offset
//     that was written but not synced is never reported to anybody.
//   - high watermark: records below it are committed. They survive every failure that leaves
//     one clean in-sync replica.
//   - ISR: the in-sync replicas. ELR: the eligible leader replicas of KIP-966, which have
//     every committed record although they left an ISR that had become too small.
//   - maximal ISR: the ISR on record and whoever the leader has proposed to add to it.
//   - tier end: records below it are in object storage.
//
// # Rules
//
// Each rule below is a constant in rules.go. A test switches each off and requires the
// simulation to find a violation, so that none of them is there without a reason.
//
// The leader. It advances the high watermark to the least log end of the maximal ISR, as
// acknowledged in its own epoch (maximal ISR), and only while the ISR on record has
// at least min.insync.replicas members (min ISR). It proposes a follower for the ISR once
// the follower has reached both the high watermark and the offset at which the epoch began
// (epoch start), and names the follower's incarnation. It uploads committed records only
// (upload below the high watermark).
//
// The follower. It accepts records of its own epoch that continue its log. Where its log has
// diverged it truncates by epoch (KIP-101, KIP-279), never to its high watermark (truncation by
// epoch), and makes the truncation durable before it says where its log ends.
//
// The metadata. A change of the ISR needs the version it is based on (version check) and the
// current incarnation of each member it adds (incarnation). A leader is elected from the ISR,
// then from the ELR, or not at all (clean election). A replica that lost part of its log leaves
// both (unclean replicas are excluded). The ELR is emptied when the ISR is large enough again
// (ELR cleared). Uploads are accepted where the last one ended (upload base).
//
// Both. A replica gives up its copy of a record only when the metadata that it has applied
// names the object that has it (reclaim after commit).
//
// # Sources
//
// KIP-101, KIP-279, KIP-320 and KIP-392 for epochs and truncation, KIP-497 and KIP-841 for
// changes of the ISR by version and incarnation, KIP-966 for the ELR.
package replication
