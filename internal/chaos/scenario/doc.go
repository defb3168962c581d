// Package scenario lists what clusters have to survive: faults over time, and what must hold
// during and after them. It is data; package chaos carries it out.
//
// After each scenario, every acknowledged record must be at its offset, once, unchanged and in
// order (package check), what concurrent clients saw must be explained by one log (package
// history), and all replicas must be in sync again and taking writes.
package scenario
