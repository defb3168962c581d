// Package sluice is the Go client of Sluice: a Producer, a Consumer, and a Dialer
// with which any franz-go client (kgo, kadm) speaks to a broker over QUIC.
//
// A Dialer keeps one QUIC connection (or a few) for each broker. Every Kafka
// connection that a client opens is a stream on it, so partitions, groups and
// admin calls never wait for each other, and none costs a handshake. A connection
// that is lost is made again, with a jittered pause after failures; records that
// were not acknowledged are sent again without doubling, as the producer is
// idempotent.
//
//	p, err := sluice.NewProducer(sluice.Config{Brokers: []string{"127.0.0.1:9092"}, CAFile: "ca.crt"}, sluice.DefaultProducerConfig())
//	p.Produce(ctx, &sluice.Record{Topic: "orders", Value: []byte("1 apple")}, nil)
//	err = p.Flush(ctx)
//
// All types are safe for concurrent use unless they say otherwise.
package sluice
