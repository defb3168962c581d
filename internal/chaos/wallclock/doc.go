// Package wallclock makes the wall clock of one running process jump, and no other.
//
// Time namespaces shift CLOCK_MONOTONIC and CLOCK_BOOTTIME only, and a preloaded library does not
// reach programs that are linked statically. So the functions of the vDSO by which programs read
// the wall clock are replaced in the memory of the process: they ask the kernel, and add an
// offset. The pages are private to the process. Programs that call the kernel directly, and
// clocks other than CLOCK_REALTIME, are not affected.
//
// The package needs Linux on amd64, and the right to trace the process, which a parent or root
// has.
package wallclock
