// Package load runs a workload through a driver and measures it.
//
// Producers and consumers are clients in this process; the server is another one.
// A record starts with the time it was due and a number, so that the latency of an
// acknowledgement and of delivery is known for each record, and a lost one shows.
// With a rate, records are due by a timetable that does not wait for the server: a
// stall counts against every record that was due in it (no coordinated omission).
// Without one, a record is due when the window lets the producer make it.
package load
