package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/pipeline"
)

// admin serves operators and orchestrators over HTTP.
type admin struct {
	graphs  []*pipeline.Graph
	metrics prometheus.Gatherer
	memory  *memory.Map
	limiter *limiter
	ready   func() error // nil once the broker serves
	offline func() []int // metadata shards
	damage  func() damageReport
	view    func() *meta.View
	// lose gives up a range of a partition.
	lose func(ctx context.Context, topic string, partition int32, given span) ([]span, error)
}

// handler serves:
//
//	GET  /metrics    Prometheus
//	GET  /healthz    200 while the process works
//	GET  /readyz     200 while it serves, else 503 with the reason
//	GET  /topology   the pipelines, as JSON
//	GET  /damage     metadata shards and partitions that are damaged or offline, as JSON
//	GET  /memory     what memory is charged to, as JSON
//	GET  /limits     the settings that can be changed now, with their bounds, as JSON
//	POST /limits     changes limits of a running stage, all of them or none
//	GET  /objects    what the metadata has in objects, as JSON
//	POST /objects/give-up   lets readers skip lost records
//
// [adminhttp] adds /version and /debug/pprof/.
func (a *admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /topology", a.topology)
	mux.HandleFunc("GET /damage", a.damageReport)
	mux.HandleFunc("GET /memory", a.memoryMap)
	mux.HandleFunc("GET /limits", a.getLimits)
	mux.HandleFunc("POST /limits", a.limits)
	mux.HandleFunc("GET /objects", a.objects)
	mux.HandleFunc("POST /objects/give-up", a.giveUp)
	return mux
}

func (a *admin) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := a.ready(); err != nil {
		adminhttp.Error(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	fmt.Fprintln(w, "ok")
	for _, shard := range a.offline() {
		fmt.Fprintf(w, "metadata shard %d is offline; the log of the start has the reason\n", shard)
	}
}

func (a *admin) topology(w http.ResponseWriter, _ *http.Request) {
	all := make([]pipeline.Topology, len(a.graphs))
	for i, g := range a.graphs {
		all[i] = g.Topology()
	}
	reply(w, all)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // fails if the client disconnects
}

// serveHTTP serves until the server is shut down.
func serveHTTP(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin server: %w", err)
	}
	return nil
}
