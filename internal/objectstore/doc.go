// Package objectstore is the door to the object store: whole objects go in once
// and never change, ranges come out.
//
// It wraps a gocloud.dev bucket. Three things are added. A Put never overwrites.
// A Put to file:// is synced, file and directories, before it returns, because the
// WAL is reclaimed behind it. And a range that comes back short is an error.
package objectstore
