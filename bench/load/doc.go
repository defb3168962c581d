// Package load runs a workload through a driver and measures it.
//
// Producers and consumers are clients in this process; the server is another process. A record
// starts with the time it was due and a number, so that the latencies of acknowledgement and
// delivery are known for each record, and a lost one is noticed. With a rate, records are due
// by a schedule that does not wait for the server: a stall counts against every record due
// during it (no coordinated omission). Without one, a record is due when the window lets the
// producer create it.
package load
