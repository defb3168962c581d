// Package check decides whether a log kept its promises while servers failed.
//
// A [Ledger] notes every record sent, acknowledged and read during a run. At the end the log is
// read back and compared offset by offset: every acknowledged record is at its offset, once,
// unchanged and in the order in which its producer sent it; whatever else is there is an attempt
// that was never acknowledged; and readers saw during the run what is there at the end.
//
// [Outages] measures how long each partition went without an acknowledgement.
package check
