// Package objectfetch serves reads from the object store.
//
// In: a Fetch whose reads no cache had. Out: the same Fetch, served or each read
// with its Err. Neighbouring blocks are fetched in one range request, the same
// blocks asked for at the same time are fetched once, and each block is verified
// before anybody sees it. What was fetched goes into the read cache.
package objectfetch
