package peer

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

// Local is the driver of this broker's replicas. Its methods must not block. Those about one broker in
// one direction are called one after another, except for Next, others concurrently. They may name
// partitions that this broker does not have (yet): it drops those.
type Local interface {
	// Connected reports a new stream to a broker, which this broker opened as its follower.
	Connected(broker int32)
	// Disconnected reports that the stream of a follower has ended. Nothing that it sent on
	// it is delivered after that, and nothing of a newer stream before.
	Disconnected(broker int32)
	// Heard delivers a Position, Divergence or Restart. Broker and incarnation of a Position
	// are those that the sender has proved.
	Heard(from int32, p topic.Partition, m replication.Message)
	// Records delivers records of a leader. batches is valid until release, which the
	// driver calls exactly once, from any goroutine, when the records are durable or dropped.
	// The bytes count for the leader's window until then.
	Records(from int32, p topic.Partition, h replication.Records, batches []byte, release func())
	// Next returns what to send to a follower next: at most limit bytes of batches, or one batch.
	// release is called exactly once, from any goroutine, when data is no longer needed.
	Next(to int32, limit int) (p topic.Partition, h replication.Records, data [][]byte, release func(), ok bool)
}

// Broker is another broker of the cluster.
type Broker struct {
	ID int32
	// Incarnation is the latest that the metadata has, 0 if it is not known.
	Incarnation uint64
	// Address is where it accepts streams, HOST:PORT. Without one it is not dialed.
	Address string
}

// Options has what Peers need.
type Options struct {
	Config      Config
	Cluster     string // its id
	Broker      int32  // this one
	Incarnation uint64
	Local       Local
	TLS         *certs.Internal // nil: none, where Config allows it
	Log         *slog.Logger
	Metrics     prometheus.Registerer
}

// Peers has the streams to and from all other brokers. It is safe for concurrent use.
type Peers struct {
	cfg     Config
	own     hello
	local   Local
	tls     *certs.Internal
	log     *slog.Logger
	metrics *metrics
	start   time.Time
	serial  atomic.Uint64
	wg      sync.WaitGroup // goroutines of streams and dialers
	server  *grpc.Server

	followers table // streams that they opened
	leaders   table // streams to them

	mu      sync.Mutex
	closed  bool
	brokers map[int32]Broker
	dialers map[int32]*dialer
}

// table has a stream for each broker. Reading it takes no lock.
type table struct {
	now atomic.Pointer[map[int32]*stream]
}

func (t *table) get(broker int32) *stream {
	if m := t.now.Load(); m != nil {
		return (*m)[broker]
	}
	return nil
}

// set replaces the stream of a broker. REQUIRES: one caller at a time.
func (t *table) set(broker int32, s *stream) {
	next := make(map[int32]*stream)
	if m := t.now.Load(); m != nil {
		maps.Copy(next, *m)
	}
	if next[broker] = s; s == nil {
		delete(next, broker)
	}
	t.now.Store(&next)
}

// New returns Peers that know no other broker yet.
func New(o Options) (*Peers, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if len(o.Cluster) == 0 || len(o.Cluster) > maxCluster {
		return nil, fmt.Errorf("a cluster id has from 1 to %d bytes, not %d", maxCluster, len(o.Cluster))
	}
	p := &Peers{cfg: o.Config, local: o.Local, tls: o.TLS, log: o.Log, start: time.Now(),
		own: hello{version: Version, least: least, broker: o.Broker, incarnation: o.Incarnation,
			window: o.Config.FollowerWindowBytes, cluster: o.Cluster},
		brokers: make(map[int32]Broker), dialers: make(map[int32]*dialer)}
	p.metrics = newMetrics(p)
	if o.Metrics != nil {
		if err := o.Metrics.Register(p.metrics); err != nil {
			return nil, err
		}
	}
	p.server = p.newServer()
	return p, nil
}

// now returns the time since the start, in ns. It is never 0.
func (p *Peers) now() int64 { return int64(time.Since(p.start)) + 1 }

// Serve accepts streams until Close. It closes the listener.
func (p *Peers) Serve(l net.Listener) error {
	if p.tls == nil {
		if err := p.cfg.plainTo(l.Addr().String()); err != nil {
			l.Close()
			return err
		}
	}
	err := p.server.Serve(l)
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Update says which brokers there are, this one included or not. It begins to connect to new ones, and ends
// streams of brokers that are gone and of processes that the metadata has replaced.
func (p *Peers) Update(brokers []Broker) {
	next := make(map[int32]Broker, len(brokers))
	for _, b := range brokers {
		if b.ID != p.own.broker {
			next[b.ID] = b
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || maps.Equal(next, p.brokers) {
		return
	}
	p.brokers = next
	for id, d := range p.dialers {
		if _, ok := next[id]; !ok {
			d.set(Broker{ID: id})
		}
	}
	for _, b := range next {
		if s := p.followers.get(b.ID); s != nil && s.incarnation < b.Incarnation {
			s.stop(fmt.Errorf("the metadata has a later process of broker %d", b.ID))
		}
		if d := p.dialers[b.ID]; d != nil {
			d.set(b)
		} else if b.Address != "" {
			p.dialers[b.ID] = p.dial(b)
		}
	}
	if m := p.followers.now.Load(); m != nil {
		for id, s := range *m {
			if _, ok := next[id]; !ok {
				s.stop(fmt.Errorf("broker %d is no longer in the metadata", id))
			}
		}
	}
}

// Send queues a message to the broker that it is To: a Position for a leader, a Divergence or
// Restart for a follower. It never blocks. Messages to one broker keep their order; without a stream the
// message is dropped. Records that Local.Next returns later are sent after it.
func (p *Peers) Send(to int32, part topic.Partition, m replication.Message) {
	t := &p.followers
	if m.Position != nil {
		t = &p.leaders
	}
	if s := t.get(to); s != nil {
		s.post(part, m)
	}
}

// Wake says that Local.Next may have something for a follower. It never blocks.
func (p *Peers) Wake(to int32) {
	if s := p.followers.get(to); s != nil {
		s.out.kick()
	}
}

// Close ends all streams and waits until nothing calls Local any more.
func (p *Peers) Close() {
	p.mu.Lock()
	p.closed = true
	for _, d := range p.dialers {
		d.cancel()
	}
	p.mu.Unlock()
	p.server.Stop()
	p.wg.Wait()
}

// known returns the brokers of the last Update.
func (p *Peers) known() []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.brokers))
}
