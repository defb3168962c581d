// Package netlab gives processes a network that fails on command: namespaces that are joined by a
// [Switch] in this process.
//
// Each [Host] is a network namespace with one interface, a TUN device. The switch passes packets
// between the devices and applies to each ordered pair of hosts what [Link] says: packets are
// lost, all or some, delayed, reordered or doubled. TCP and UDP are the kernel's, on both ends.
//
// Everything happens in a [Sandbox]: new PID, mount and network namespaces. When its first
// process ends, for any reason, the kernel kills all other processes in it and removes
// namespaces, devices and mounts. Nothing is left behind, and nothing outside is touched.
//
// The package needs Linux and root.
package netlab
