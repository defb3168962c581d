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
//     increments it, and a leader's proposal names the version it is based on.
//   - incarnation: counts the starts of a broker's process.
//   - log end: the offset after the last durable record of a replica (LEO). Offsets that
//     were written but not synced are never reported.
//   - high watermark: records below it are committed: they survive any failure that leaves
//     one clean in-sync replica.
//   - ISR: the in-sync replicas. ELR: the eligible leader replicas of KIP-966, which hold
//     every committed record, although they left an ISR that had become too small.
//   - maximal ISR: the recorded ISR and the followers that the leader has proposed to add.
//   - tier end: records below it are in object storage.
//
// # Rules
//
// Each rule below is a constant in rules.go. A test disables them one at a time and requires the
// simulation to find a violation, which proves that each rule is needed.
//
// The leader. It advances the high watermark to the least log end of the maximal ISR, as
// acknowledged in its own epoch (maximal ISR), and only while the recorded ISR has
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
// both (unclean replicas leave). The ELR is cleared when the ISR is large enough again
// (ELR cleared). An upload is accepted only if it starts where the previous one ended (upload base).
//
// Every replica. It discards its copy of a record only when the metadata it has applied
// names an object that holds the record (reclaim after the tier commit).
//
// # Sources
//
// KIP-101, KIP-279, KIP-320 and KIP-392 for epochs and truncation, KIP-497 and KIP-841 for
// changes of the ISR by version and incarnation, KIP-966 for the ELR.
package replication
