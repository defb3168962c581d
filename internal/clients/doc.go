// Package clients tests Sluice's binary with third-party clients, over TCP: kcat and other
// users of librdkafka, clients in Go, Java, Python and JavaScript. Clients differ in what they
// request and in which versions, so each finds other bugs.
//
// The tests have the build tag `clients` (`make clients`), since they install what they test:
// kcat from Debian, the rest pinned from the package registries of their languages. Go clients
// are in a separate module, compat, so that the product does not depend on them.
package clients
