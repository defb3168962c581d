package quorum

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/consensus/raftnet"
)

// about is what a controller tells others of itself.
type about struct {
	Controller  int32            `json:"controller"`
	Incarnation uint32           `json:"incarnation"`
	Cluster     string           `json:"cluster"`
	Genesis     map[int32]uint32 `json:"genesis"`
	Replicas    map[int]uint64   `json:"replicas"`
	Peers       map[int32]string `json:"peers"`
	Shards      int              `json:"shards"`
}

func (q *Quorum) about() about {
	r := q.ids.get()
	a := about{Controller: r.Controller, Incarnation: r.Incarnation, Cluster: q.ids.cluster(), Genesis: r.Genesis, Replicas: make(map[int]uint64),
		Peers: map[int32]string{}, Shards: q.cfg.Shards}
	for shard := range q.cfg.Shards + 1 {
		a.Replicas[shard] = q.ids.replica(shard)
	}
	if q.net != nil {
		a.Peers = q.net.Peers()
		a.Peers[r.Controller] = q.net.Advertised()
	}
	return a
}

// callTimeout is how long another controller may take to answer.
const callTimeout = 5 * time.Second

// ask asks all known controllers about themselves and learns the addresses that they know.
// Asking also tells them this controller's address.
func (q *Quorum) ask(ctx context.Context) map[int32]about {
	type answer struct {
		about
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	peers := q.net.Peers()
	answers := make(chan answer, len(peers))
	for id := range peers {
		go func() {
			var a answer
			a.err = q.net.Call(ctx, id, methodAbout, struct{}{}, &a.about)
			answers <- a
		}()
	}
	found := make(map[int32]about, len(peers))
	for range peers {
		a := <-answers
		if a.err != nil {
			q.log.Debug("another controller does not answer", "err", a.err)
			continue
		}
		found[a.Controller] = a.about
		for id, address := range a.Peers {
			if _, known := peers[id]; !known {
				q.net.SetPeer(id, address)
			}
		}
	}
	return found
}

// form finds out which cluster this controller belongs to, unless it is known. A directory without
// logs is either new or was lost, and the others know which: if the cluster exists, a controller
// with a new disk joins it with new replicas. Only if all first members are there and none has a
// cluster, the one with the lowest id makes one of them, and the others take over what it made.
func (q *Quorum) form(ctx context.Context) error {
	if q.ids.get().Cluster != "" {
		return nil
	}
	others := make(map[int32]string)
	maps.Copy(others, q.cfg.others().Members)
	delete(others, q.cfg.ID)
	if q.net == nil || len(others) == 0 {
		return q.found(map[int32]uint32{q.cfg.ID: q.ids.get().Incarnation})
	}
	for said := false; ; said = true {
		answers := q.ask(ctx)
		for _, a := range answers {
			if a.Cluster != "" {
				return q.enterCluster(a)
			}
		}
		genesis := map[int32]uint32{q.cfg.ID: q.ids.get().Incarnation}
		for id, a := range answers {
			genesis[id] = a.Incarnation
		}
		all := !slices.ContainsFunc(slices.Collect(maps.Keys(others)), func(id int32) bool { return genesis[id] == 0 })
		if all && slices.Min(slices.Collect(maps.Keys(genesis))) == q.cfg.ID {
			return q.found(genesis)
		}
		if !said {
			q.log.Info("waiting for the other controllers: the first start of a cluster needs all of them", "controllers", slices.Sorted(maps.Keys(q.cfg.others().Members)))
		}
		if err := pause(ctx, formPause); err != nil {
			return err
		}
	}
}

const formPause = 100 * time.Millisecond

// found makes a cluster.
func (q *Quorum) found(genesis map[int32]uint32) error {
	return q.ids.change(func(r *record) { r.Cluster, r.Genesis = uuid.NewString(), genesis })
}

// enterCluster makes this controller one of an existing cluster, as a first member or a new one.
func (q *Quorum) enterCluster(a about) error {
	if a.Shards != q.cfg.Shards {
		return fmt.Errorf("%w: the cluster of %s has %d, the config says %d", ErrShards, raftnet.Name(a.Controller), a.Shards, q.cfg.Shards)
	}
	return q.ids.change(func(r *record) {
		r.Cluster = a.Cluster
		if a.Genesis[r.Controller] == r.Incarnation {
			r.Genesis = a.Genesis
		}
	})
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
