// Package listener holds what the listeners of all transports share: connection limits, connection
// metrics, and backing off when the system has no resources to accept a connection.
package listener
