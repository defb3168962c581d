// Package report turns the runs of a suite into ratios, JSON, lines of text and one
// HTML page that needs nothing else: the plots are SVG made here.
//
// Systems are compared within a round, in which they ran one after the other on the
// same machine; a ratio is given as the least, the median and the greatest of the
// rounds.
package report
