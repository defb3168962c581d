// Package clients holds tests of Sluice's binary with clients that others have
// written, over its TCP door: kcat and other users of librdkafka, clients in Go,
// Java, Python and JavaScript. Clients differ in what they ask and in which
// versions, so each finds other faults.
//
// The tests have the build tag `clients` (`make clients`), since they install what
// they try: kcat from Debian, the rest pinned from the package registries of their
// languages. Clients in Go are in a module of their own, compat, so that the
// product does not depend on them.
package clients
