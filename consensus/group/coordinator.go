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

// Store keeps groups. Its values are immutable. When it is handed to New it has
// all that was ever written.
type Store interface {
	View() *meta.View
	Groups() []*meta.Group
	Group(name string) (*meta.Group, bool)
	// ChangeGroup makes one step of a group durable and returns when Group shows
	// it. A group that is not there is made; deleting one that is not there is no
	// error.
	ChangeGroup(ctx context.Context, name string, c meta.GroupChange) error
	// GroupOffline returns an error if what the store has of a group cannot be read:
	// that Group knows none says nothing then.
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
	slots chan struct{} // one for each write that may be under way
	hosts *hosts
	room  *room

	// fullLog and evictLog bound what is logged of refusals and evictions; unsaid are
	// those that were not.
	fullLog, evictLog *rate.Limiter
	unsaid            atomic.Int64

	mu      sync.RWMutex // held for reading while a task is handed to a lane
	closed  bool
	closing chan struct{}
	tasks   sync.WaitGroup
}

// New returns a coordinator that has loaded all groups of the store. Close it.
func New(cfg Config, store Store, clk clock.Clock, log *slog.Logger, reg prometheus.Registerer) (*Coordinator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg, store: store, clock: clk, log: log, seed: maphash.MakeSeed(),
		slots: make(chan struct{}, cfg.Writes), closing: make(chan struct{}),
		hosts:   newHosts(cfg.Groups),
		room:    newRoom(amount{cfg.Groups, cfg.MetadataBytes}, cfg.Queue),
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
	c.tasks.Go(c.sweep)
	c.tasks.Go(c.makeRoom)
	c.room.poke() // for what may be more than there may be
	log.Info("consumer groups loaded", "groups", len(groups))
	return c, nil
}

// Serve answers one request. reply is called once, here or later by another
// goroutine; resp.SetVersion is left to the caller. It waits only while the
// queue of the group's lane is full. ctx is that of the connection: when it ends,
// what was asked for goes on.
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
		panic(fmt.Sprintf("group: %T is no request of consumer groups", req))
	}
}

// Close answers whoever still waits, lets writes end, and returns when nothing
// runs any more. Requests that come later are refused.
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

// post hands a task to a lane. Once the coordinator is closed it does not, and
// returns false.
func (c *Coordinator) post(l *lane, t task) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return false
	}
	l.tasks <- t // lanes run until they have all that was handed over before closed
	return true
}

// on runs t on the lane of the group, or refuses.
func (c *Coordinator) on(group string, refuse func(code int16), t task) {
	if c.store.GroupOffline(group) != nil || !c.post(c.lane(group), t) {
		refuse(kerr.CoordinatorNotAvailable.Code)
	}
}
