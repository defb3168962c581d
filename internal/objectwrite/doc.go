// Package objectwrite takes objects through the three steps of their creation,
// for uploads and compaction:
//
//  1. prepare: the object's ID is in the metadata before the object is in the
//     store, so that a crash leaves nothing unknown;
//  2. put, under an unused key, within the prepared time. Anything sent later
//     could bring back an object that was deleted, when nobody knows of it
//     (docs/decisions/0013-late-puts.md);
//  3. commit: the metadata refers to it.
//
// An object that did not complete all three is garbage, which the metadata lists
// once the prepared time is over.
package objectwrite
