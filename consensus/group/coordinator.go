package group

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/time/rate"

	"github.com/sluicemq/sluice/internal/clock"
	"github.com/sluicemq/sluice/internal/meta"
)

// Store stores groups. Its values are immutable. When passed to New, it must have everything
// ever written.
type Store interface {
	View() *meta.View
	Groups() []*meta.Group
	Group(name string) (*meta.Group, bool)
	// ChangeGroup makes one change of a group durable and returns once Group shows it. It
	// creates a missing group; deleting a missing one is not an error.
	ChangeGroup(ctx context.Context, name string, c meta.GroupChange) error
	// GroupOffline returns an error if the store cannot read the group; a missing group then
	// means nothing.
	GroupOffline(name string) error
}

// Coordinator serves all groups. All methods are safe for concurrent use.
type Coordinator struct {
	cfg     Config
	store   Store
	clock   clock.Clock
	log     *slog.Logger
	metrics *metrics

	lanes []*lane
	seed  maphash.Seed
	slots chan struct{} // one for each concurrent write
	hosts *hosts
	quota *quota

	// fullLog and evictLog limit the logging of refusals and evictions; unsaid counts those not
	// logged.
	fullLog, evictLog *rate.Limiter
	unsaid            atomic.Int64

	mu      sync.RWMutex // held for reading while a task is posted to a lane
	closed  bool
	closing chan struct{}
	tasks   sync.WaitGroup
}

// New loads all groups of the store and returns a coordinator. Call Close when done.
func New(cfg Config, store Store, clk clock.Clock, log *slog.Logger, reg prometheus.Registerer) (*Coordinator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg, store: store, clock: clk, log: log, seed: maphash.MakeSeed(),
		slots: make(chan struct{}, cfg.Writes), closing: make(chan struct{}),
		hosts:   newHosts(cfg.Groups),
		quota:   newQuota(amount{cfg.Groups, cfg.MetadataBytes}, cfg.Queue),
		fullLog: rate.NewLimiter(rate.Every(time.Minute), 1), evictLog: rate.NewLimiter(1, 10)}
	c.metrics = newMetrics(c, reg)
	for range cfg.Lanes {
		c.lanes = append(c.lanes, newLane(c))
	}
	groups := store.Groups()
	for _, g := range groups {
		c.lane(g.Name).load(g)
	}
	for _, l := range c.lanes {
		c.tasks.Go(l.run)
	}
	c.tasks.Go(c.expireOffsets)
	c.tasks.Go(c.makeRoom)
	c.quota.poke() // the limits may be exceeded already
	log.Info("consumer groups loaded", "groups", len(groups))
	return c, nil
}

// Serve answers one request. reply is called once, here or later by another goroutine; calling
// resp.SetVersion is up to the caller. It blocks only while the queue of the group's lane is
// full. ctx is that of the connection; the request continues when it ends.
func (c *Coordinator) Serve(_ context.Context, clientID, host string, version int16, req kmsg.Request, reply func(kmsg.Response)) {
	switch req := req.(type) {
	case *kmsg.JoinGroupRequest:
		c.join(clientID, host, version, req, reply)
	case *kmsg.SyncGroupRequest:
		c.sync(req, reply)
	case *kmsg.HeartbeatRequest:
		c.heartbeat(req, reply)
	case *kmsg.LeaveGroupRequest:
		c.leave(version, req, reply)
	case *kmsg.OffsetCommitRequest:
		c.commit(version, req, reply)
	case *kmsg.OffsetFetchRequest:
		reply(c.fetch(version, req))
	case *kmsg.OffsetDeleteRequest:
		c.deleteOffsets(req, reply)
	case *kmsg.DescribeGroupsRequest:
		c.describe(version, req, reply)
	case *kmsg.ListGroupsRequest:
		c.list(req, reply)
	case *kmsg.DeleteGroupsRequest:
		c.deleteGroups(req, reply)
	default:
		panic(fmt.Sprintf("group: %T is not a consumer group request", req))
	}
}

// Close answers waiting requests, lets writes finish, and returns when nothing runs any more.
// Later requests are refused.
func (c *Coordinator) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.closing)
	}
	c.mu.Unlock()
	c.tasks.Wait()
}

func (c *Coordinator) lane(group string) *lane {
	return c.lanes[maphash.String(c.seed, group)%uint64(len(c.lanes))]
}

// post queues a task on a lane; it returns false once the coordinator is closed.
func (c *Coordinator) post(l *lane, t task) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return false
	}
	l.tasks <- t // lanes run until all tasks posted before closing are done
	return true
}

// on runs t on the lane of the group, or refuses.
func (c *Coordinator) on(group string, refuse func(code int16), t task) {
	if c.store.GroupOffline(group) != nil || !c.post(c.lane(group), t) {
		refuse(kerr.CoordinatorNotAvailable.Code)
	}
}
