package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/record"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

// connect returns a client of the cluster, once a broker has responded.
func (c *cli) connect(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
	cfg := sluice.Config{Brokers: strings.Split(c.broker, ","), Transport: sluice.Transport(c.transport), ClientID: "sluice-cli",
		CAFile: c.ca, CertFile: c.cert, KeyFile: c.key, DialTimeout: c.timeout}
	if c.ca == "" {
		ca, err := c.inDataDirectory("tls", "ca.crt")
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(ca); err == nil {
			cfg.CAFile = ca
		}
	}
	if err := cfg.Validate(); err != nil {
		return nil, &usageError{err}
	}
	ours, err := sluice.ClientOpts(cfg)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(append(ours, kgo.RetryTimeout(c.timeout), kgo.RequestTimeoutOverhead(c.timeout),
		kgo.MaxDecompressBatchBytes(record.MaxUnpacked)), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := cl.Ping(ctx); err != nil {
		cl.Close()
		return nil, c.noAnswer(err)
	}
	return cl, nil
}

// turnsAway reports whether err means that a broker is unusable until someone changes something.
func turnsAway(err error) bool {
	return errors.Is(err, sluice.ErrUntrusted) || errors.Is(err, sluice.ErrCertificateRefused) || errors.Is(err, sluice.ErrNotSluice)
}

// noAnswer adds advice to the error when no broker can be reached.
func (c *cli) noAnswer(err error) error {
	var closed *kgo.ErrFirstReadEOF
	switch {
	case turnsAway(err):
		return fmt.Errorf("%s over %s: %w", c.broker, c.transport, err)
	case c.transport == "tcp" && errors.As(err, &closed):
		return fmt.Errorf("%s over tcp: the server closes connections at once, as one that wants TLS does; use --transport tls, or quic", c.broker)
	case c.transport == "tls" && errors.As(err, &closed):
		return fmt.Errorf("%s over tls: the server closes connections at once, as one without TLS does; use --transport tcp, or quic", c.broker)
	}
	return fmt.Errorf("no broker answers at %s over %s: %w; start one with `sluice dev`, or set --broker and --transport", c.broker, c.transport, err)
}

// admin calls f with an admin client, limited by --timeout.
func (c *cli) admin(ctx context.Context, f func(context.Context, *kadm.Client) error) error {
	cl, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a := kadm.NewClient(cl)
	a.SetTimeoutMillis(int32(min(c.timeout, time.Hour) / time.Millisecond))
	err = f(ctx, a)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the broker at %s did not answer within %s; check its log, or set a longer --timeout", c.broker, c.timeout)
	}
	return err
}

// refusal turns a protocol error about a named thing into a message with advice.
func refusal(what, name string, err error, message string) error {
	if err == nil {
		return nil
	}
	var known *kerr.Error
	if !errors.As(err, &known) {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	switch known {
	case kerr.UnknownTopicOrPartition, kerr.UnknownTopicID:
		return fmt.Errorf("topic %s does not exist; `sluice topic list` shows all, `sluice topic create %s` creates it", name, argument(name))
	case kerr.TopicAlreadyExists:
		return fmt.Errorf("topic %s already exists; with --if-not-exists that is not an error", name)
	case kerr.GroupIDNotFound:
		return fmt.Errorf("group %s does not exist; `sluice group list` shows all", name)
	case kerr.NonEmptyGroup:
		return fmt.Errorf("group %s has members; stop them first", name)
	}
	if message == "" {
		message = known.Description
	}
	return fmt.Errorf("%s %s: %s (%s)", what, name, strings.TrimSuffix(message, "."), known.Message)
}

// ofPartition is refusal for a partition of a topic, at an offset unless that is negative.
func ofPartition(topic string, p int32, at int64, err error) error {
	place := fmt.Sprintf("topic %s: partition %d", topic, p)
	if at >= 0 {
		place += fmt.Sprintf(", at offset %d", at)
	}
	var known *kerr.Error
	switch {
	case !errors.As(err, &known):
		return fmt.Errorf("%s: %w", place, err)
	case known == kerr.UnknownTopicOrPartition || known == kerr.UnknownTopicID:
		return refusal("topic", topic, err, "")
	case known == kerr.KafkaStorageError:
		return fmt.Errorf("%s: the broker cannot read or write its records (%s); `sluice cluster status` says what is damaged, and the broker's log what is wrong with the disk or the object store",
			place, known.Message)
	}
	return fmt.Errorf("%s: %s (%s)", place, strings.TrimSuffix(known.Description, "."), known.Message)
}
