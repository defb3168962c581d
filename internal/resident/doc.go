// Package resident reduces the resident memory of the process after its start.
//
// The clients of three cloud object stores are in the program, and starting it
// runs the initialisers of all of them: some 30 MB of the program file are mapped
// for that and never used again. The kernel counts them as resident until memory
// is short. Shrink releases them at once; docs/decisions/0011 has the figures and
// alternatives.
package resident
