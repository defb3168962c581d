// Package pipeline is the engine: a typed graph of stages joined by bounded
// edges, through which parcels travel, each with a receipt that settles once.
// It knows nothing of messaging.
//
// What enters: parcels, from a [Source] or by [Inlet.Submit]. What leaves:
// verdicts, through the receipts. The engine never copies or retains a body.
//
// Invariants:
//
//  1. A parcel has exactly one owner. An [Emit] takes ownership even when it
//     fails; [In.Recv] and its kin give it.
//  2. Every receipt that reached a stage is settled exactly once, whatever
//     happens to the stage: what is left on its edges when it returns or panics,
//     and what it then still holds, is nacked, never dropped.
//  3. The input of a node closes only after every node upstream has returned,
//     so draining is a topological walk that nobody has to code.
//  4. No edge is unbounded. Bytes are charged to a [Budget] before the pipeline
//     and refunded after the receipt has settled, so one number bounds all that
//     is queued or in flight, whatever the depths.
//  5. Order: one edge is first in, first out. A node with one worker keeps
//     order, [Lanes] keep it per key, [Workers] give it up.
//
// Wiring is checked by the compiler: [Via] takes a Port[I] and a Stage[I, O]
// and returns a Port[O]. A port has one reader; [Tee], [Route] and [Merge] make
// more or fewer of them and cost no goroutine, they run where the parcel is
// emitted. [Zip] joins two branches again.
//
// Failures. A parcel that fails is nacked by its stage, which goes on; an error
// returned by Run, or a panic, is the failure of the stage and aborts the
// graph. [Graph.Run] returns it as a [StageError]. Keep graphs small to keep
// the blast radius small.
//
// DESIGN.md explains the parts, the locks and what was decided against.
package pipeline
