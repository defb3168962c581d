// Package objectfetch serves reads from the object store.
//
// In: a Fetch whose reads no cache had. Out: the same Fetch, served or each read
// with its Err. Neighbouring blocks are fetched in one range request, blocks that
// somebody fetches already are waited for, and each block is verified before
// anybody sees it. What was fetched goes into the read cache.
//
// Whoever reads in order is read ahead for: from the second read on that begins
// where another ended, up to a window of bytes beyond it, which doubles with each
// further one. Reading ahead has its own part of the read cache and its own few
// requests, and takes them only where they are free, so that no read that
// somebody waits for stands behind it. A reader that jumps is a new one; what was
// read ahead for the old place goes when it has been idle and others want the
// room. Who a reader is, is told by its place alone: the protocol says no more.
//
// requests.go has the requests under way, plan.go decides what to fetch without
// touching anything, ahead.go drives it, fetch.go is the stage. DESIGN.md has the
// order of locks.
package objectfetch
