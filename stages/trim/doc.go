// Package trim is the last stage of the read pipeline.
//
// In: a Fetch whose reads were served. It cuts the whole answer down to the
// bytes the reader asked for, counts where reads were served from, and settles;
// the door then writes headers and segments to its socket without copying them.
package trim
