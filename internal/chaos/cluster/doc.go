// Package cluster runs the nodes of a system under test, each as a process of its own, and makes
// them fail: SIGKILL, SIGSTOP, restarts.
//
// A [System] says how a node is started; [Kafka] and [Sluice] are such systems. A [Host] says
// where: on loopback, or in a network namespace of a test.
package cluster
