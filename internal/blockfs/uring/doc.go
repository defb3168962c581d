// Package uring is a small io_uring: one submission and one completion queue
// shared with the Linux kernel, for writes of files that complete in any order.
//
// In: a file descriptor, bytes, an offset and a tag. Out: the tag and what the
// kernel made of it, as bytes written or an error number. The bytes belong to
// the kernel in between; whoever submits keeps them in place and reachable.
//
// Each call submits from the thread it is made on, which must live on until the
// write has ended, else the kernel cancels it: no goroutine may submit that is
// locked to its thread and ends. The kernel tells an eventfd
// of completions, for which the runtime's poller waits, so that neither an idle
// ring nor one with writes under way holds a thread, and no processor of the
// scheduler sits in a blocking call.
//
// What fails: New does where the kernel is too old, is built or told to have no
// io_uring (ENOSYS, EPERM), or a seccomp filter hides it; see io_uring(7).
package uring
