// Command demo shows the main use of Sluice end to end, on this machine and with nothing but
// Go: it starts `sluice dev` in a temporary directory, produces a week of earthquakes over QUIC
// many times over, reads them back with a consumer group, and compares every record. Then it
// does the same again, but kills the broker with kill -9 while acknowledgements are coming in,
// and restarts it.
//
// For each partition it checks that the acknowledged offsets are dense and in order of
// production, and that the records read are exactly these, with their keys, values and headers,
// in order, none missing and none twice.
//
// It exits with 0 only if every check passes, and removes its directory. The data set is
// described in data/SOURCE.md.
package main
