package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// production holds the options of one run of produce.
type production struct {
	topic       string
	file        string
	separator   string
	headers     []string
	compression string
	acks        string
	partition   int32
	rate        float64
	nul         bool

	header []kgo.RecordHeader // of every record
}

func newProduce(c *cli) *cobra.Command {
	p := &production{}
	cmd := &cobra.Command{
		Use: "produce TOPIC", Short: "Produce records from lines of a file or standard input", Args: cobra.ExactArgs(1),
		Long: `Produces one record per line, and reports how many were acknowledged and how fast. It
stops with exit code 1 at the first record that the broker refuses, or that a temporary
error has kept from being acknowledged for --timeout.`,
		Example: `  echo "42:1 apple" | sluice produce orders --key-separator :
  sluice produce orders --file orders.txt --compression zstd --header source=import`,
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.topic = args[0]
			return c.produce(cmd.Context(), p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.file, "file", "-", "`FILE` to read; - is standard input")
	f.StringVar(&p.separator, "key-separator", "", "`TEXT` between key and value; without it records have no key")
	f.StringArrayVar(&p.headers, "header", nil, "`KEY=VALUE` header of every record; may be repeated")
	f.StringVar(&p.compression, "compression", "none", "none, gzip, snappy, lz4 or zstd")
	f.StringVar(&p.acks, "acks", "all", "all (in-sync replicas), leader or none")
	f.Int32Var(&p.partition, "partition", -1, "partition `N` for all records; by default chosen by key")
	hideDefaults(cmd, "partition")
	f.Float64Var(&p.rate, "rate", 0, "at most `N` records a second; 0 means no limit")
	f.BoolVarP(&p.nul, "null", "0", false, "records end with a zero byte instead of a line feed")
	_ = cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions([]string{"none", "gzip", "snappy", "lz4", "zstd"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	_ = cmd.RegisterFlagCompletionFunc("acks", cobra.FixedCompletions([]string{"all", "leader", "none"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// options validates the flags and returns the client options.
func (p *production) options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.DefaultProduceTopic(p.topic), kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(5 * time.Millisecond),
		kgo.ProducerBatchMaxBytes(1 << 20), kgo.UnknownTopicRetries(4), kgo.MetadataMinAge(100 * time.Millisecond)}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	codec, ok := codecs[p.compression]
	if !ok {
		return nil, usagef("--compression %q must be none, gzip, snappy, lz4 or zstd", p.compression)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec))
	switch p.acks {
	case "all", "-1":
	case "leader", "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "none", "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, usagef("--acks %q must be all, leader or none", p.acks)
	}
	switch {
	case p.rate < 0:
		return nil, usagef("--rate must not be negative")
	case p.partition < -1:
		return nil, usagef("--partition must not be negative")
	case p.partition >= 0:
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	for _, h := range p.headers {
		k, v, ok := strings.Cut(h, "=")
		if !ok || k == "" {
			return nil, usagef("--header %q must be KEY=VALUE", h)
		}
		p.header = append(p.header, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	return opts, nil
}

func (c *cli) produce(ctx context.Context, p *production) error {
	opts, err := p.options()
	if err != nil {
		return err
	}
	in, name := c.stdin, "standard input"
	if p.file != "-" {
		f, err := os.Open(p.file)
		if err != nil {
			return fmt.Errorf("records: %w", err)
		}
		defer f.Close()
		in, name = f, p.file
	}
	s := newSender(p, c.progress())
	cl, err := c.connect(ctx, append(opts, kgo.RecordRetries(max(1, int(c.timeout/retryPause))), kgo.WithHooks(s))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	s.cl = cl
	began := time.Now()
	err = s.sendAll(ctx, in, name)
	// Send what was read, even after an interrupt.
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout+10*time.Second)
	defer cancel()
	flushErr := s.flush(flushCtx)
	s.progress.done()
	if failed := s.failure(); failed != nil {
		err = failed
	} else if err == nil && flushErr != nil {
		err = fmt.Errorf("some records were not acknowledged in time: %w", flushErr)
	}
	return errors.Join(c.reportProduction(p, s, time.Since(began)), err)
}

// retryPause is roughly how long a refused attempt takes, including its backoff. Attempts are
// limited by number, so that a record fails with the reason for the refusal, not with a
// deadline.
const retryPause = 150 * time.Millisecond

func (c *cli) reportProduction(p *production, s *sender, took time.Duration) error {
	n, bytes := s.acknowledged()
	perSecond, bytesPerSecond := float64(n)/took.Seconds(), float64(bytes)/took.Seconds()
	return c.result(map[string]any{"topic": p.topic, "records": n, "bytes": bytes, "seconds": took.Seconds(),
		"records_per_second": perSecond, "bytes_per_second": bytesPerSecond},
		"produced %s (%s) in %s: %.0f records/s, %s/s", plural(n, "record"), size(float64(bytes)),
		took.Round(time.Millisecond), perSecond, size(bytesPerSecond))
}
