// Package process starts the servers that are measured, each as a process of its
// own on loopback, and reads from /proc what they use.
package process
