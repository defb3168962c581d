// Package device measures the disk under the servers when every single write has to be durable:
// O_DIRECT|O_DSYNC pwrite at depth 1.
package device
