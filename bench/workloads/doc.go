// Package workloads holds the workloads, one TOML file each. A workload says what producers and
// consumers see (record size, rate, windows), never how a system has to do it, so that each
// system gets the same.
package workloads
