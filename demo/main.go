package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "demo:", err)
		}
		stop()
		os.Exit(1)
	}
}

const partitions = 8

// settings of a run.
type settings struct {
	binary         string
	rounds, killed int // rounds of the data set, without and with kill -9
	keep           bool
	timeout        time.Duration
}

func parse(args []string) (s settings, err error) {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.StringVar(&s.binary, "sluice", "bin/sluice", "the binary; make build makes it")
	f.IntVar(&s.rounds, "rounds", 120, "how often the data set is produced in the first part")
	f.IntVar(&s.killed, "kill-rounds", 60, "how often in the second, in which the broker is killed")
	f.BoolVar(&s.keep, "keep", false, "keep the data directory, what the broker printed last in it, and say where it is")
	f.DurationVar(&s.timeout, "timeout", 2*time.Minute, "when to give up")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	if s.rounds < 1 || s.killed < 1 {
		return s, errors.New("at least one round of each part is needed")
	}
	return s, nil
}

// demo runs all steps once.
func demo(ctx context.Context, args []string, out io.Writer) (err error) {
	began := time.Now()
	set, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, set.timeout, fmt.Errorf("it took longer than %s", set.timeout))
	defer cancel()
	data, err := loadDataset(earthquakes)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return fmt.Errorf("temporary directory: %w", err)
	}
	defer func() {
		if set.keep {
			fmt.Fprintf(out, "%-9s %s\n", "kept", dir)
		} else if e := os.RemoveAll(dir); e != nil && err == nil {
			err = fmt.Errorf("remove the temporary directory: %w", e)
		}
	}()
	b, err := newBroker(set.binary, dir)
	if err != nil {
		return err
	}
	defer func() {
		b.kill() // if still running
		if set.keep {
			err = errors.Join(err, os.WriteFile(filepath.Join(dir, "broker.log"), []byte(b.log.String()), 0o600))
		}
	}()
	r := &run{broker: b, ledger: newLedger(data, partitions), out: out}
	if err := r.all(ctx, set); ctx.Err() != nil {
		return fmt.Errorf("cut off: %w", context.Cause(ctx))
	} else if err != nil {
		return err
	}
	r.say("ok", "nothing lost, nothing twice, order kept; all of it took %.1f s", time.Since(began).Seconds())
	return nil
}

// run is one run of the demo.
type run struct {
	broker *broker
	ledger *ledger
	out    io.Writer
}

// say prints a line about a step.
func (r *run) say(step, format string, args ...any) {
	fmt.Fprintf(r.out, "%-9s %s\n", step, fmt.Sprintf(format, args...))
}

func (r *run) all(ctx context.Context, set settings) error {
	d := r.ledger.data
	r.say("data", "%s events of %q by USGS, generated %s: %d keys, %.1f MB a round", grouped(len(d.events)), d.title,
		d.generated.Format(time.DateOnly), d.keys, float64(d.bytes)/1e6)
	if err := r.start(ctx, "broker"); err != nil {
		return err
	}
	if err := r.broker.createTopic(ctx, partitions); err != nil {
		return err
	}
	if err := r.produce(ctx, set.rounds); err != nil {
		return err
	}
	if err := r.consume(ctx); err != nil {
		return err
	}
	if err := r.produceThroughKill(ctx, set.killed); err != nil {
		return err
	}
	if err := r.consume(ctx); err != nil {
		return err
	}
	if err := r.broker.stop(); err != nil {
		return err
	}
	r.say("stop", "the broker ended in good order")
	return nil
}

func (r *run) start(ctx context.Context, step string) error {
	began := time.Now()
	if err := r.broker.start(ctx); err != nil {
		return err
	}
	r.say(step, "sluice dev on %s is ready after %.2f s", r.broker.addr, time.Since(began).Seconds())
	return nil
}

func (r *run) produce(ctx context.Context, rounds int) error {
	began := time.Now()
	if err := r.broker.produce(ctx, r.ledger, rounds, func(int) {}); err != nil {
		return err
	}
	r.rate("produce", rounds, time.Since(began), "over QUIC with acks=all, each on disk before it was acknowledged, to %d partitions", partitions)
	return nil
}

// rate prints the rate of that many rounds.
func (r *run) rate(step string, rounds int, took time.Duration, format string, args ...any) {
	n, bytes := rounds*len(r.ledger.data.events), rounds*r.ledger.data.bytes
	s := took.Seconds()
	r.say(step, "%s records in %d rounds, %d MB, %s: %.2f s, %s records/s, %.0f MB/s", grouped(n), rounds, bytes/1e6,
		fmt.Sprintf(format, args...), s, grouped(int(float64(n)/s)), float64(bytes)/1e6/s)
}

// consume reads and compares what is unread.
func (r *run) consume(ctx context.Context) error {
	rounds := r.ledger.unread() / len(r.ledger.data.events)
	took, err := r.broker.consume(ctx, r.ledger)
	if err != nil {
		return err
	}
	r.rate("consume", rounds, took, "by a group of %d over QUIC", members)
	extra, err := r.broker.extra(ctx, r.ledger)
	if err != nil {
		return err
	}
	if extra != 0 {
		return fmt.Errorf("the topic holds %d records more than were produced", extra)
	}
	r.say("compare", "every record: keys, values, headers, timestamps equal, in order, none missing, none twice")
	return nil
}

// produceThroughKill kills the broker once two fifths are acknowledged, with more in flight,
// and restarts it. The producer is not notified.
func (r *run) produceThroughKill(ctx context.Context, rounds int) error {
	_, before := r.ledger.counts()
	mark := before + rounds*len(r.ledger.data.events)*2/5
	reached := make(chan struct{})
	var once sync.Once
	result := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	go func() {
		result <- r.broker.produce(ctx, r.ledger, rounds, func(acked int) {
			if acked >= mark {
				once.Do(func() { close(reached) })
			}
		})
	}()
	if err := r.killAndRestart(ctx, before, reached, result); err != nil {
		cancel()
		<-result // its failure is expected
		return err
	}
	if err := <-result; err != nil {
		return err
	}
	r.rate("produce", rounds, time.Since(began), "the same producer went on by itself, the pause included")
	return nil
}

func (r *run) killAndRestart(ctx context.Context, before int, reached <-chan struct{}, result chan error) error {
	select {
	case <-reached:
	case err := <-result:
		result <- err // for the waiting caller
		return fmt.Errorf("the producer ended before the broker was killed: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.broker.kill()
	made, acked := r.ledger.counts()
	if made == acked {
		return errors.New("nothing was under way when the broker was killed; raise -kill-rounds")
	}
	r.say("kill -9", "after %s more acknowledgements, with %s records under way", grouped(acked-before), grouped(made-acked))
	return r.start(ctx, "restart")
}

// grouped formats n with commas.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
