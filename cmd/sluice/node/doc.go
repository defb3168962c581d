// Package node wires a broker: it opens the metadata, the WAL and the object
// store, recovers, builds the pipelines, opens the listeners, and takes everything
// down again in the opposite order.
//
// This is the only place where the rooms of the house meet. There is no logic
// here that could be tested without them; what decides something lives in a
// package of its own.
package node
