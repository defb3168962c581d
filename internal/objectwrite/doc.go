// Package objectwrite takes objects through the three steps by which they come into
// being, for those who upload and those who compact:
//
//  1. prepare: the object's id is in the metadata before the object is in the store, so
//     that a crash leaves nothing that nobody knows of;
//  2. put, under a key that nothing has, in the time that was prepared. What is still
//     sent later may find that the object was deleted, and bring it back when nobody
//     knows of it (docs/decisions/0013-late-puts.md);
//  3. commit: the metadata refers to it.
//
// An object that did not get through all three is garbage, which the metadata names once
// the time that was prepared is over.
package objectwrite
