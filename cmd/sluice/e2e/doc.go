// Package e2e holds tests through the real entrance: they build the sluice
// binary, start it as a process on loopback, and talk to it with clients that
// people use. It has no code of its own outside tests.
package e2e
