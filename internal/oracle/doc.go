// Package oracle compares Sluice's responses with those of Apache Kafka: it sends the same
// requests to both, in every version that both advertise, and compares whole responses field
// by field.
//
// A scenario is an ordered list of requests. It is played against each broker once for every
// version of the API under test. Each play uses its own topic and group names, so plays do not
// interfere. Responses are decoded and flattened to pairs of path and value. Values that
// inherently differ between two brokers are normalized: throttle times, ports, cluster, topic,
// member, producer and session ids, and wall-clock times. Ids are numbered in order of
// appearance, so an id that changes where Kafka's stays the same still shows up. The order of
// an array is ignored if its elements have names.
//
// Where an error code differs, the rest of its struct is not compared, nor are the follow-up
// steps that inspect the effects: those named after the step plus " > ".
//
// differences.txt lists every known difference: the intended ones with their reason, and those
// still to be fixed. The test fails on a difference that is not listed, and on a listed
// difference that no longer occurs.
//
// The tests have the build tag `oracle` (`make oracle`), since they need Java and the jars in
// pom.xml. All requests are harmless: none should crash or hang a broker.
package oracle
