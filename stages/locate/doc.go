// Package locate is the first stage of the read pipeline: it finds where the
// records of each read are, without touching them.
//
// In: a Fetch. Out: the same Fetch, each read with its end offset and either the
// batches' positions in the WAL, or the object that holds them, or an error. The
// tail index is checked before the object manifest: upload publishes an object in
// the manifest before it trims the index, so in this order nothing is missed.
package locate
