package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Admin makes the topic and watches its replicas.
type Admin struct {
	cfg        Config
	partitions int
	replicas   int
	client     *kgo.Client
	kafka      *kadm.Client
}

// State of a partition. Brokers are named by their position in the addresses of [Config].
type State struct {
	Leader int // -1 if there is none
	ISR    []int
}

const (
	pollEvery  = 50 * time.Millisecond
	adminLimit = 2 * time.Second // one request; the broker that it goes to may be frozen
)

// Create makes the topic of a load with as many replicas as there are brokers, and the smallest
// majority of them as min.insync.replicas.
func Create(ctx context.Context, cfg Config, partitions int) (*Admin, error) {
	a := &Admin{cfg: cfg, partitions: partitions, replicas: len(cfg.Addrs)}
	var err error
	if a.client, err = kgo.NewClient(cfg.Options()...); err != nil {
		return nil, err
	}
	a.kafka = kadm.NewClient(a.client)
	minISR := strconv.Itoa(a.replicas/2 + 1)
	err = a.until(ctx, func(ctx context.Context) error {
		r, err := a.kafka.CreateTopic(ctx, int32(partitions), int16(a.replicas), map[string]*string{"min.insync.replicas": &minISR}, cfg.Topic)
		return errors.Join(err, r.Err)
	})
	if err == nil {
		err = a.AwaitInSync(ctx)
	}
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("create topic %s: %w", cfg.Topic, err)
	}
	return a, nil
}

// until repeats a step until it works.
func (a *Admin) until(ctx context.Context, step func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, adminLimit)
		err := step(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// States asks for the state of each partition.
func (a *Admin) States(ctx context.Context) ([]State, error) {
	m, err := a.kafka.Metadata(ctx, a.cfg.Topic)
	if err != nil {
		return nil, err
	}
	position := map[int32]int{}
	for _, b := range m.Brokers {
		position[b.NodeID] = slices.Index(a.cfg.Addrs, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	details := m.Topics[a.cfg.Topic].Partitions
	out := make([]State, a.partitions)
	for p := range out {
		d, ok := details[int32(p)]
		if !ok {
			return nil, fmt.Errorf("partition %d is not in the metadata (%w)", p, errors.Join(m.Topics[a.cfg.Topic].Err))
		}
		out[p] = State{Leader: -1}
		if i, known := position[d.Leader]; known {
			out[p].Leader = i
		}
		for _, id := range d.ISR { // a member that is not alive is not among the brokers
			if i, known := position[id]; known {
				out[p].ISR = append(out[p].ISR, i)
			}
		}
		slices.Sort(out[p].ISR)
	}
	return out, nil
}

// Await waits until a condition holds for the states of all partitions.
func (a *Admin) Await(ctx context.Context, what string, holds func([]State) bool) error {
	err := a.until(ctx, func(ctx context.Context) error {
		states, err := a.States(ctx)
		if err != nil {
			return err
		}
		if !holds(states) {
			return fmt.Errorf("%v", states)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}

// AwaitInSync waits until each partition has a leader and all its replicas in the ISR.
func (a *Admin) AwaitInSync(ctx context.Context) error {
	return a.Await(ctx, "all replicas in sync", func(states []State) bool {
		return !slices.ContainsFunc(states, func(s State) bool { return s.Leader < 0 || len(s.ISR) < a.replicas })
	})
}

// Balance asks for an election of the preferred leaders. A system that has no such request keeps
// its leaders.
func (a *Admin) Balance(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, adminLimit)
	defer cancel()
	set := make(kadm.TopicsSet)
	for p := range int32(a.partitions) {
		set.Add(a.cfg.Topic, p)
	}
	_, _ = a.kafka.ElectLeaders(ctx, kadm.ElectPreferredReplica, set) // leaders stay where they are
}

// Close closes the client.
func (a *Admin) Close() { a.client.Close() }
