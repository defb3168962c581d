package peer

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counters has what is counted for one other broker, over all streams with it.
type counters struct {
	sentBytes, receivedBytes   atomic.Uint64
	sentFrames, receivedFrames atomic.Uint64
	connects, failures         atomic.Uint64
	blocked                    atomic.Int64 // ns
	roundTrip                  prometheus.Observer

	mu      sync.Mutex
	failure string
}

// failed notes why the last attempt to have a stream failed.
func (c *counters) failed(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = why
}

func (c *counters) lastFailure() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// metrics exports counters and the state of the streams.
type metrics struct {
	p         *Peers
	refused   *prometheus.CounterVec
	roundTrip *prometheus.HistogramVec

	mu  sync.Mutex
	all map[int32]*counters
}

func newMetrics(p *Peers) *metrics {
	return &metrics{p: p, all: make(map[int32]*counters),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_peer_refused_total",
			Help: "Connections and streams to the port for brokers that were refused, by reason (handshake, hello, violation)."}, []string{"reason"}),
		roundTrip: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sluice_peer_round_trip_seconds",
			Help:    "Time from a ping to its answer, on streams with another broker.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15)}, []string{"broker"})}
}

func (p *Peers) countersOf(broker int32) *counters {
	m := p.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.all[broker]
	if c == nil {
		c = &counters{roundTrip: m.roundTrip.WithLabelValues(strconv.Itoa(int(broker)))}
		m.all[broker] = c
	}
	return c
}

func ofBroker(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"broker"}, nil)
}

var (
	sentBytes      = ofBroker("sluice_peer_sent_bytes_total", "Bytes of frames sent to another broker, as leader and as follower.")
	receivedBytes  = ofBroker("sluice_peer_received_bytes_total", "Bytes of frames received from another broker.")
	sentFrames     = ofBroker("sluice_peer_sent_frames_total", "Frames sent to another broker.")
	receivedFrames = ofBroker("sluice_peer_received_frames_total", "Frames received from another broker.")
	connects       = ofBroker("sluice_peer_connects_total", "Streams that this broker has opened to another one.")
	failures       = ofBroker("sluice_peer_failures_total", "Attempts to open a stream that failed, and streams that ended.")
	connected      = prometheus.NewDesc("sluice_peer_connected", "1 if there is a stream with another broker, by the role of that broker in it (leader, follower).", []string{"broker", "role"}, nil)
	windowBytes    = ofBroker("sluice_peer_window_bytes", "Bytes of records on the way to a follower that it still holds.")
	windowLimit    = ofBroker("sluice_peer_window_limit_bytes", "Limit of sluice_peer_window_bytes.")
	blockedSeconds = ofBroker("sluice_peer_window_full_seconds_total", "Time in which nothing more could be sent to a follower, since its window was full.")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	m.refused.Describe(out)
	m.roundTrip.Describe(out)
	for _, d := range []*prometheus.Desc{sentBytes, receivedBytes, sentFrames, receivedFrames, connects, failures, connected, windowBytes, windowLimit, blockedSeconds} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.refused.Collect(out)
	m.roundTrip.Collect(out)
	for _, e := range m.p.Edges() {
		b := strconv.Itoa(int(e.Broker))
		counter := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, b)
		}
		c := m.p.countersOf(e.Broker)
		counter(sentBytes, float64(c.sentBytes.Load()))
		counter(receivedBytes, float64(c.receivedBytes.Load()))
		counter(sentFrames, float64(c.sentFrames.Load()))
		counter(receivedFrames, float64(c.receivedFrames.Load()))
		counter(connects, float64(c.connects.Load()))
		counter(failures, float64(c.failures.Load()))
		counter(blockedSeconds, e.Blocked.Seconds())
		for role, is := range map[string]bool{"follower": e.Follows, "leader": e.Leads} {
			v := 0.0
			if is {
				v = 1
			}
			out <- prometheus.MustNewConstMetric(connected, prometheus.GaugeValue, v, b, role)
		}
		out <- prometheus.MustNewConstMetric(windowBytes, prometheus.GaugeValue, float64(e.WindowBytes), b)
		out <- prometheus.MustNewConstMetric(windowLimit, prometheus.GaugeValue, float64(e.WindowLimit), b)
	}
}

// Edge is the state of the streams with one other broker.
type Edge struct {
	Broker      int32  `json:"broker"`
	Incarnation uint64 `json:"incarnation,omitempty"` // of the stream in use
	// Follows and Leads say whether the other broker has a stream to this one, and the other
	// way round.
	Follows bool `json:"follows"`
	Leads   bool `json:"leads"`
	// Queued is the number of messages that wait to be sent to it as a follower, not counting
	// records.
	Queued int `json:"queued"`
	// WindowBytes of WindowLimit are under way to it as a follower, or not durable there yet.
	WindowBytes int64 `json:"window_bytes"`
	WindowLimit int64 `json:"window_limit_bytes"`
	// Blocked is how long its window has been full, in total, including now.
	Blocked       time.Duration `json:"blocked_ns"`
	SentBytes     uint64        `json:"sent_bytes"`
	ReceivedBytes uint64        `json:"received_bytes"`
	// RoundTrip is that of the last ping, 0 if there was none.
	RoundTrip time.Duration `json:"round_trip_ns"`
	// Failure is why there is no stream to it as a leader, empty if there is one.
	Failure string `json:"failure,omitempty"`
}

// Edges returns the state of the streams with each broker of the last Update, by id.
func (p *Peers) Edges() []Edge {
	var all []Edge
	for _, id := range p.known() {
		c := p.countersOf(id)
		e := Edge{Broker: id, Blocked: time.Duration(c.blocked.Load()), SentBytes: c.sentBytes.Load(), ReceivedBytes: c.receivedBytes.Load()}
		if s := p.leaders.get(id); s != nil {
			e.Leads, e.Incarnation, e.RoundTrip = true, s.incarnation, time.Duration(s.rtt.Load())
		} else {
			e.Failure = c.lastFailure()
		}
		if s := p.followers.get(id); s != nil {
			e.Follows, e.Incarnation, e.Queued = true, s.incarnation, s.out.waiting()
			e.WindowBytes, e.WindowLimit = s.fill.Load(), s.window
			if t := s.rtt.Load(); t > 0 {
				e.RoundTrip = time.Duration(t)
			}
			if since := s.full.Load(); since != 0 {
				e.Blocked += time.Duration(p.now() - since)
			}
		}
		all = append(all, e)
	}
	return all
}
