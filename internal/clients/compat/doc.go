// Package compat holds tests with Kafka clients in Go against a broker that runs
// already, at the address in SLUICE_BROKER. The tests of package clients start one
// and run these; so can anybody with `sluice dev`:
//
//	SLUICE_BROKER=127.0.0.1:9092 go test -count=1 ./...
package compat
