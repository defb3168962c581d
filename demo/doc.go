// Command demo shows the main job end to end, on this machine and with nothing
// but Go: it starts `sluice dev` in a temporary directory, produces a week of
// earthquakes over QUIC, many times over, has a consumer group read them back, and
// compares every record. Then it does so again, but kills the broker with kill -9
// while acknowledgements are coming in, and starts it anew.
//
// What is compared, of each partition: the offsets that were acknowledged are
// dense and in the order of production, and the records read are these, with
// their keys, values and headers, none missing, none twice, in order.
//
// It ends with exit code 0 only if everything is as it must be, and takes its
// directory away. The data set is described in data/SOURCE.md.
package main
