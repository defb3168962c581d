// Package compat tests Kafka clients in Go against a running broker, whose address is in
// SLUICE_BROKER. The tests of package clients start a broker and run these. To run them by hand,
// start one with `sluice dev`, then:
//
//	SLUICE_BROKER=127.0.0.1:9092 go test -count=1 ./...
package compat
