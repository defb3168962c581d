// Package chaos runs clusters of real processes in network namespaces and lets them fail as
// package scenario says. It has tests only, which need the build tag chaos, root, and a system:
//
//	make chaos CHAOS_SYSTEM=kafka CHAOS_ONLY='kill-leader|isolate-leader'
//
// Its parts are packages of their own: cluster (nodes), netlab (networks and disks that fail),
// wallclock (clocks that jump), traffic (the load), check and history (verdicts).
package chaos
