// Package device measures what the disk under the servers takes when one write at a
// time has to be durable: O_DIRECT|O_DSYNC pwrite at depth 1.
package device
