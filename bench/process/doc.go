// Package process starts the measured servers, each as a process on loopback, and reads their
// resource usage from /proc.
package process
