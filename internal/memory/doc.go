// Package memory is the map of what a broker's memory is charged to.
//
// Each thing that holds bytes for long, or for many, is a [Use]: a name, the setting
// of its limit, and what happens there. The parts keep their limits themselves; in a
// running process each is a [Line] of a [Map], which knows how much is held now. The
// map does no charging. It sums the limits against that of the process, exports them
// as metrics, and is printed by `sluice cluster memory`.
//
// A part that has no counter of its own keeps its bytes in an [Account].
//
// Everything is safe for concurrent use.
package memory
