// Package report turns the runs of a suite into ratios, JSON, text and one self-contained HTML
// page, with its plots as inline SVG.
//
// Systems are compared within a round, in which they ran one after the other on the same
// machine; a ratio is given as the minimum, median and maximum over the rounds.
package report
