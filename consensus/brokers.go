package consensus

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicemq/sluice/consensus/machine"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// RegisterBroker records the start of a broker process and makes it live: StartBroker and then
// ReadyBroker. It also acquires the coordinator leases that nobody has. Nothing may be appended
// before it returns.
func (c *Cluster) RegisterBroker(ctx context.Context, b meta.Broker) (incarnation uint64, err error) {
	incarnation, err = c.StartBroker(ctx, b)
	if err != nil {
		return 0, err
	}
	if err := c.ReadyBroker(ctx, b.ID, incarnation); err != nil {
		return 0, err
	}
	if err := c.AcquireCoordinators(ctx, b.ID, incarnation); err != nil {
		return 0, err
	}
	return incarnation, nil
}

// StartBroker records the start of a broker process: its address, a new incarnation, and in
// every shard that the previous one is fenced. It is not live before ReadyBroker. The process of
// this Cluster is meant unless b names another; for the same one it returns the same incarnation.
// meta.ErrStaleIncarnation: other processes of the broker register at the same time.
func (c *Cluster) StartBroker(ctx context.Context, b meta.Broker) (incarnation uint64, err error) {
	if b.Process == ([16]byte{}) {
		b.Process = c.process
	}
	var r machine.Result
	for range registerAttempts {
		var last uint64
		if last, err = readRoot(ctx, c, func(r *machine.Root) uint64 { return r.Incarnation(b.ID) }); err == nil {
			r, err = c.propose(ctx, 0, &machine.RegisterBroker{Broker: b, After: last})
		}
		if !errors.Is(err, meta.ErrStaleIncarnation) {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("register broker %d: %w", b.ID, err)
	}
	incarnation = uint64(r.Number)
	c.startSelf(b.ID, incarnation)
	return incarnation, c.session(ctx, b.ID, &machine.StartBroker{Broker: b.ID, Incarnation: incarnation})
}

// registerAttempts is how often a process registers that others were ahead of: a command of a process
// that has ended may come late, once or twice.
const registerAttempts = 5

// ReadyBroker makes a broker, which has replayed its WAL, live in every shard; it may lead and join
// ISRs from then on. Shard 0 follows last, but also if others do not answer; see StayReady for these.
// meta.ErrStaleIncarnation: a later process has started.
func (c *Cluster) ReadyBroker(ctx context.Context, broker int32, incarnation uint64) error {
	c.readySelf(broker, incarnation)
	return c.inSession(ctx, broker, incarnation, func(n uint64) error {
		cmd := &machine.ReadyBroker{Broker: broker, Incarnation: incarnation, Session: n}
		shards := c.session(ctx, broker, cmd)
		if shards != nil && !errors.Is(shards, meta.ErrUnavailable) {
			return shards
		}
		return errors.Join(shards, c.changeRoot(ctx, broker, cmd))
	})
}

// FenceBroker ends the session of a broker, first in shard 0 and then in every other.
func (c *Cluster) FenceBroker(ctx context.Context, broker int32, incarnation uint64) error {
	return c.inSession(ctx, broker, incarnation, func(n uint64) error {
		cmd := &machine.FenceBroker{Broker: broker, Incarnation: incarnation, Session: n}
		if err := c.changeRoot(ctx, broker, cmd); err != nil {
			return err
		}
		if err := c.session(ctx, broker, cmd); !errors.Is(err, meta.ErrStaleSession) { // a later one
			return err
		}
		return nil
	})
}

// inSession calls f with the number of a broker's session, again if that has ended meanwhile.
func (c *Cluster) inSession(ctx context.Context, broker int32, incarnation uint64, f func(n uint64) error) error {
	var stale error
	for last := uint64(0); ; {
		b, err := readRoot(ctx, c, func(r *machine.Root) meta.Broker { return r.Broker(broker) })
		switch {
		case err != nil:
			return brokerError(broker, err)
		case b.Incarnation != incarnation:
			return brokerError(broker, meta.ErrStaleIncarnation)
		case stale != nil && b.Session == last:
			return stale
		}
		last = b.Session
		if stale = f(last); !errors.Is(stale, meta.ErrStaleSession) {
			return stale
		}
	}
}

// DrainBroker hands over what a broker leads and coordinates to others, as far as they are in
// sync, before its process stops.
func (c *Cluster) DrainBroker(ctx context.Context, broker int32, incarnation uint64) error {
	return c.rootAndShards(ctx, broker, &machine.DrainBroker{Broker: broker, Incarnation: incarnation})
}

// DecommissionBroker keeps new replicas off a broker, or allows them again.
func (c *Cluster) DecommissionBroker(ctx context.Context, broker int32, on bool) error {
	return c.changeRoot(ctx, broker, &machine.DecommissionBroker{Broker: broker, On: on})
}

// UnregisterBroker forgets a broker. meta.ErrConflict: it is live, or still has replicas.
// meta.ErrUnavailable: the replicas in some shard are unknown.
func (c *Cluster) UnregisterBroker(ctx context.Context, broker int32) error {
	err := c.each(func(shard int) error {
		p, err := read(ctx, c, shard, func(s *machine.Shard) *topic.Partition {
			if p, ok := s.Replica(broker); ok {
				return &p
			}
			return nil
		})
		if err == nil && p != nil {
			err = fmt.Errorf("broker %d has a replica of %s: %w", broker, c.nameOf(*p), meta.ErrConflict)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.changeRoot(ctx, broker, &machine.UnregisterBroker{Broker: broker})
}

// nameOf returns the name of a partition, or its id.
func (c *Cluster) nameOf(p topic.Partition) string {
	if t, ok := c.View().TopicByID(p.Topic); ok {
		return fmt.Sprintf("%s/%d", t.Name, p.Index)
	}
	return fmt.Sprintf("%v/%d", p.Topic, p.Index)
}

// RecordThrottle records how far a broker is from its limits.
func (c *Cluster) RecordThrottle(ctx context.Context, x meta.Throttle) error {
	return c.changeRoot(ctx, x.Broker, &machine.RecordThrottle{Throttle: x})
}

// LoseReplicas says that a broker lost a part of the logs of these partitions, before it is
// ready. meta.ErrStaleSession: it is ready.
func (c *Cluster) LoseReplicas(ctx context.Context, broker int32, incarnation uint64, partitions []topic.Partition) error {
	return c.inSession(ctx, broker, incarnation, func(n uint64) error {
		cmds := make(map[int]machine.Command)
		for _, p := range partitions {
			shard := c.ShardOf(p)
			if cmds[shard] == nil {
				cmds[shard] = &machine.LoseReplicas{Broker: broker, Incarnation: incarnation, Session: n}
			}
			x := cmds[shard].(*machine.LoseReplicas)
			x.Partitions = append(x.Partitions, p)
		}
		return brokerError(broker, c.proposeEach(ctx, cmds))
	})
}

// LoseAllReplicas says that a broker lost all its logs, before it is ready.
func (c *Cluster) LoseAllReplicas(ctx context.Context, broker int32, incarnation uint64) error {
	return c.inSession(ctx, broker, incarnation, func(n uint64) error {
		return c.session(ctx, broker, &machine.LoseReplicas{Broker: broker, Incarnation: incarnation, Session: n, All: true})
	})
}

// RecordController records where a controller is reached.
func (c *Cluster) RecordController(ctx context.Context, x meta.Controller) error {
	if _, err := c.propose(ctx, 0, &machine.RecordController{Controller: x}); err != nil {
		return fmt.Errorf("record controller %d: %w", x.ID, err)
	}
	c.publish()
	return nil
}

// ForgetController removes the record of a controller.
func (c *Cluster) ForgetController(ctx context.Context, id int32) error {
	if _, err := c.propose(ctx, 0, &machine.ForgetController{ID: id}); err != nil {
		return fmt.Errorf("forget controller %d: %w", id, err)
	}
	c.publish()
	return nil
}

// RaiseFeature raises the cluster's feature level; a lower one changes nothing.
func (c *Cluster) RaiseFeature(ctx context.Context, level int32) error {
	if _, err := c.propose(ctx, 0, &machine.RaiseFeature{Level: level}); err != nil {
		return fmt.Errorf("raise the feature level to %d: %w", level, err)
	}
	c.publish()
	return nil
}

// rootAndShards proposes a command to shard 0 and then to all others.
func (c *Cluster) rootAndShards(ctx context.Context, broker int32, cmd machine.Command) error {
	if err := c.changeRoot(ctx, broker, cmd); err != nil {
		return err
	}
	return c.session(ctx, broker, cmd)
}

func (c *Cluster) changeRoot(ctx context.Context, broker int32, cmd machine.Command) error {
	_, err := c.propose(ctx, 0, cmd)
	c.publish()
	return brokerError(broker, err)
}

// session proposes a command about a broker to all partition shards.
func (c *Cluster) session(ctx context.Context, broker int32, cmd machine.Command) error {
	err := c.online(ctx, cmd)
	c.publish()
	return brokerError(broker, err)
}

func brokerError(broker int32, err error) error {
	if err != nil {
		return fmt.Errorf("broker %d: %w", broker, err)
	}
	return nil
}

// proposeEach proposes a command to each of some shards.
func (c *Cluster) proposeEach(ctx context.Context, cmds map[int]machine.Command) error {
	err := c.each(func(shard int) error {
		if cmds[shard] == nil {
			return nil
		}
		_, err := c.propose(ctx, shard, cmds[shard])
		return err
	})
	c.publish()
	return err
}
