// Package oracle compares Sluice's answers with those of Apache Kafka: the same
// requests go to both, in every version that both announce, and whole answers are
// compared field by field.
//
// A scenario is an ordered list of requests. It is played against each broker, once for
// each version of the API it is about, with names of its own, so that plays do not
// see each other. What was answered is decoded and flattened to lines of a path and a value.
// Only what must differ between two brokers is rewritten on the way: throttle times, ports,
// cluster and topic ids, member, producer and session ids, and times of the clock. Ids
// become numbers in the order in which they are seen, so that an id that changes where Kafka's
// stays still shows. The order of an array whose elements have names is not compared.
//
// Where an error code differs, the rest of its struct is not compared, nor are the steps
// that look at what it left behind, whose names go on with " > ".
//
// differences.txt has every difference there is, those on purpose with the reason
// and those still to be mended. A difference that is not in it fails the test, and so
// does one that is in it and no longer seen.
//
// The tests have the build tag `oracle` (`make oracle`), since they need Java and the
// jars of pom.xml. Requests here are harmless: none may crash or hang a broker.
package oracle
