// Package kafka drives any server of the Kafka protocol, over QUIC, TLS or TCP,
// with franz-go. Over QUIC it uses the dialer of Sluice's SDK.
package kafka
