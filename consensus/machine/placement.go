package machine

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/sluicemq/sluice/internal/topic"
)

// Site is a broker as seen by placement.
type Site struct {
	ID   int32
	Rack string
}

// Layout records the brokers used to place the partitions from From on, so that whoever
// continues the change of a topic gets the same placement.
type Layout struct {
	From  int32
	Sites []Site
}

func layoutLayout(c *coder, l *Layout) {
	c.int32(&l.From)
	list(c, &l.Sites, 2, func(c *coder, s *Site) {
		c.int32(&s.ID)
		c.string(&s.Rack)
	})
}

// sites returns the brokers to place replicas on: those that are live and stay. If they are too
// few for the replication factor, brokers that are fenced or about to stop are added; their
// replicas catch up later, so a topic can be created while a broker restarts.
func (r *Root) sites(replication int16) []Site {
	var sites, later []Site
	for _, b := range r.cluster.Brokers {
		switch site := (Site{b.ID, b.Rack}); {
		case b.Decommissioned:
		case b.Fenced || b.Draining:
			later = append(later, site)
		default:
			sites = append(sites, site)
		}
	}
	if len(sites) < int(replication) && len(sites) > 0 {
		sites = append(sites, later[:min(len(later), int(replication)-len(sites))]...)
	}
	slices.SortFunc(sites, func(a, b Site) int { return cmp.Compare(a.ID, b.ID) })
	return sites
}

// Place returns the replicas of one partition, the leader first. Leaders rotate over the sites,
// starting at one chosen by the topic's id. Followers start further on in every round, which
// spreads a broker's followers; racks without a replica come first, as long as there are any.
// REQUIRES: replication is at most len(sites).
func Place(sites []Site, id topic.ID, index int32, replication int16) []int32 {
	n := len(sites)
	at := (int(spread(id)%uint64(n)) + int(index)) % n
	replicas := []int32{sites[at].ID}
	racks := map[string]bool{sites[at].Rack: true}
	for _, newRack := range [...]bool{true, false} {
		for j := 0; j < n-1 && len(replicas) < int(replication); j++ {
			s := sites[(at+1+(j+int(index)/n)%(n-1))%n]
			if slices.Contains(replicas, s.ID) || newRack && racks[s.Rack] {
				continue
			}
			replicas, racks[s.Rack] = append(replicas, s.ID), true
		}
	}
	return replicas
}

// spread must never change: stored data depends on it.
func spread(id topic.ID) uint64 {
	return fnv(binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:]))
}

// ShardOf returns the shard, from 0, that holds a partition's record. A topic's partitions
// rotate over the shards.
func ShardOf(p topic.Partition, shards int) int {
	return int((spread(p.Topic)%uint64(shards) + uint64(uint32(p.Index))) % uint64(shards))
}

// ShardOfGroup returns the shard, from 0, that holds a consumer group.
func ShardOfGroup(name string, shards int) int {
	h := uint64(fnvOffset)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * fnvPrime
	}
	return int(h % uint64(shards))
}

// FNV-1a.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func fnv(words ...uint64) uint64 {
	h := uint64(fnvOffset)
	for _, w := range words {
		for range 8 {
			h = (h ^ w>>56) * fnvPrime
			w <<= 8
		}
	}
	return h
}
