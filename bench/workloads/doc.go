// Package workloads holds the work that systems are measured on, one TOML file
// each. A workload says what a producer and a consumer see (record size, rate,
// windows), never how a system has to do it, so that each system gets the same.
package workloads
