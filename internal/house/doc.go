// Package house holds the tests of the code's structure: which room may import
// which. It has no code of its own.
package house
