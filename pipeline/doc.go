// Package pipeline is the engine: a typed graph of stages joined by bounded edges.
// Parcels travel through it, each with a receipt that settles exactly once. The
// package knows nothing about messaging.
//
// In: parcels, from a [Source] or [Inlet.Submit]. Out: verdicts, through the
// receipts. The engine never copies or retains a body.
//
// Invariants:
//
//  1. A parcel has exactly one owner. An [Emit] takes ownership even when it fails;
//     the receive methods of [In] transfer it to the caller.
//  2. Every receipt that reached a stage is settled exactly once, whatever happens to
//     the stage: when it returns or panics, whatever is left on its edges or still in
//     its hands is nacked, never dropped.
//  3. The input of a node closes only after every node upstream has returned, so a
//     drain proceeds in topological order by itself.
//  4. No edge is unbounded. Bytes are charged to a [Budget] before the pipeline and
//     refunded after the receipt has settled, so one number bounds everything queued
//     or in flight, whatever the depths.
//  5. An edge is FIFO. A node with one worker preserves order, [Lanes] preserve it per
//     key, [Workers] do not.
//
// The compiler checks the wiring: [Via] takes a Port[I] and a Stage[I, O] and returns
// a Port[O]. A port has one reader; [Tee], [Route] and [Merge] split and combine
// ports. They cost no goroutine: they run on the emitting one. [Zip] joins two
// branches again.
//
// A stage nacks a parcel that fails and carries on; an error returned by Run, or a
// panic, is a failure of the stage itself and aborts the graph. [Graph.Run] returns it
// as a [StageError]. Small graphs limit the blast radius.
//
// DESIGN.md explains the parts, the locks and the alternatives rejected.
package pipeline
