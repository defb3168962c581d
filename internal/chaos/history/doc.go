// Package history decides whether what concurrent clients saw of one partition is what a single
// log could have shown them, with porcupine.
//
// A [Recorder] collects operations with their times. An append whose outcome is not known may
// take effect at any later time, or never. The log that explains a history has each append at
// the offset that was acknowledged, and each append that was acknowledged before another was
// called is before it.
//
// Reads are checked against one of two models. In a [Linearizable] log a read sees every append
// that was acknowledged before it was called. In a [Prefix] log it may see less, as from a
// replica that lags behind, but never anything else.
package history
