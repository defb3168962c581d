// Package objectfetch serves reads from the object store.
//
// In: a Fetch whose reads no cache could serve. Out: the same Fetch, each read
// served or with its Err. Adjacent blocks are fetched in one range request, a
// block that is already being fetched is waited for, and each block is verified
// before anybody sees it. Fetched blocks go into the read cache.
//
// Sequential readers get read-ahead: from the second read on that starts where
// another ended, up to a window of bytes beyond it, which doubles with each
// further one. Read-ahead has its own part of the read cache and its own few
// requests, and uses them only when they are free, so that it never delays a read
// that somebody waits for. A reader that jumps is a new reader; what was read
// ahead for its old position goes once that has been idle and others want the
// space. A reader is identified by its position alone: the protocol says no more.
//
// requests.go tracks the requests in flight, plan.go decides what to fetch
// without any I/O, ahead.go drives it, and fetch.go is the stage. DESIGN.md has
// the lock order.
package objectfetch
