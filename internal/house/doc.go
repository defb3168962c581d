// Package house holds the tests of the code's structure: which package may import which. It has
// no code of its own.
package house
