// Package uring is a minimal io_uring: one submission and one completion queue
// shared with the Linux kernel, for file writes that complete in any order.
//
// In: a file descriptor, bytes, an offset and a tag. Out: the tag and the result,
// as bytes written or an error number. In between the bytes belong to the kernel;
// the submitter keeps them in place and reachable.
//
// Each call submits from the current thread, which must outlive the write, or the
// kernel cancels it: a goroutine that is locked to its thread and ends must not
// submit. The kernel signals completions through an eventfd, which the runtime's
// poller waits for, so neither an idle ring nor one with writes in flight holds a
// thread, and no scheduler P sits in a blocking call.
//
// Errors: New fails if the kernel is too old, has io_uring disabled (ENOSYS,
// EPERM), or a seccomp filter blocks it; see io_uring(7).
package uring
