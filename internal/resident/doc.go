// Package resident makes the process smaller after it has started.
//
// The clients of three cloud object stores are in the program, and starting it
// runs the initialisers of all of them: some 30 MB of the program file are mapped
// for that and never looked at again. The kernel counts them as resident until
// memory is short. Shrink gives them back at once; docs/decisions/0011 has the
// figures and what else was tried.
package resident
