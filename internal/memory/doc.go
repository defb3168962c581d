// Package memory is the map of what a broker's memory is charged to.
//
// Each part that holds bytes for long, or for many, is one [Line] of a [Map]: a
// name, a limit that the part itself keeps, and what it holds now. The map does no
// charging. It sums the lines against the limit of the process, exports them as
// metrics, and is printed by `sluice cluster memory`.
//
// A part that has no counter of its own keeps its bytes in an [Account].
//
// Everything is safe for concurrent use.
package memory
