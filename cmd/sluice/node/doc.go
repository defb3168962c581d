// Package node wires a broker: it opens the metadata, the WAL and the object store, recovers,
// builds the pipelines, opens the listeners, and shuts everything down in reverse order.
//
// This is the only package that imports all the others. It contains no logic that could be
// tested without them; decisions are made in packages of their own.
package node
