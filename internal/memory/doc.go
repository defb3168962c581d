// Package memory is the map of what a broker's memory is used for.
//
// Each long-lived or large consumer of memory is a [Use]: a name, the setting of
// its limit, and what happens at the limit. The components enforce their own
// limits; in a running process each is a [Line] of a [Map], which knows how much
// is in use. The map does not charge anything. It compares the sum of the limits
// with that of the process, exports them as metrics, and is printed by `sluice
// cluster memory`.
//
// A component without a counter of its own keeps its bytes in an [Account].
//
// Everything is safe for concurrent use.
package memory
