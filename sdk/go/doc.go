// Package sluice is the Go client of Sluice: a Producer, a Consumer, and a Dialer that lets any
// franz-go client (kgo, kadm) talk to a broker over QUIC.
//
// A Dialer keeps one QUIC connection (or a few) per broker. Every Kafka connection of a client
// is a stream on it, so partitions, groups and admin calls never wait for each other, and none
// costs a handshake. A lost connection is reopened, with a jittered backoff after failures.
// Unacknowledged records are sent again without duplicates, since the producer is idempotent.
//
//	p, err := sluice.NewProducer(sluice.Config{Brokers: []string{"127.0.0.1:9092"}, CAFile: "ca.crt"}, sluice.DefaultProducerConfig())
//	p.Produce(ctx, &sluice.Record{Topic: "orders", Value: []byte("1 apple")}, nil)
//	err = p.Flush(ctx)
//
// All types are safe for concurrent use unless documented otherwise.
package sluice
