package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/pipeline"
)

// admin is what operators and orchestrators ask over HTTP.
type admin struct {
	log     *slog.Logger
	graphs  []*pipeline.Graph
	metrics prometheus.Gatherer
	memory  *memory.Map
	// memoryLimit is what all lines of memory must fit into, 0 for no limit.
	memoryLimit int64
	ready       func() error // nil once the broker serves
	offline     func() []int // metadata shards
	damage      func() damageReport
	view        func() *meta.View
	// lose gives a range of a partition up.
	lose func(ctx context.Context, topic string, partition int32, given span) ([]span, error)
}

// server answers on a listener:
//
//	GET  /metrics    Prometheus
//	GET  /healthz    200 while the process works
//	GET  /readyz     200 once it serves and until it drains, else 503 and why
//	GET  /topology   the pipelines, as JSON
//	GET  /damage     metadata shards and partitions that are damaged or offline, as JSON
//	GET  /memory     what memory is charged to, as JSON
//	POST /limits     changes a limit of a running stage
//	GET  /objects    what the metadata has in objects, as JSON
//	POST /objects/give-up   has readers go on behind records that are lost
//	GET  /debug/pprof/...   profiles for `go tool pprof`
func (a *admin) server() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /topology", a.topology)
	mux.HandleFunc("GET /damage", a.damageReport)
	mux.HandleFunc("GET /memory", a.memoryMap)
	mux.HandleFunc("POST /limits", a.limits)
	mux.HandleFunc("GET /objects", a.objects)
	mux.HandleFunc("POST /objects/give-up", a.giveUp)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: http.MaxBytesHandler(mux, 1<<20), ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout: 10 * time.Second, WriteTimeout: 90 * time.Second, IdleTimeout: time.Minute}
	BoundAdmin(s, a.log)
	return s
}

func (a *admin) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := a.ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
	for _, shard := range a.offline() {
		fmt.Fprintf(w, "metadata shard %d is offline; the log of the start says why\n", shard)
	}
}

func (a *admin) topology(w http.ResponseWriter, _ *http.Request) {
	all := make([]pipeline.Topology, len(a.graphs))
	for i, g := range a.graphs {
		all[i] = g.Topology()
	}
	reply(w, all)
}

// limit is the body of POST /limits: either depth and workers of a stage, or
// one of the stage's own limits by key.
type limit struct {
	Graph   string `json:"graph"`
	Stage   string `json:"stage"`
	Depth   int    `json:"depth,omitempty"`
	Workers int    `json:"workers,omitempty"`
	Key     string `json:"key,omitempty"`
	Value   int64  `json:"value,omitempty"`
}

func (a *admin) limits(w http.ResponseWriter, r *http.Request) {
	var l limit
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		http.Error(w, "body must be like {\"graph\":\"write\",\"stage\":\"batch\",\"key\":\"linger_us\",\"value\":500}: "+err.Error(), http.StatusBadRequest)
		return
	}
	if err := a.apply(l); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	reply(w, l)
}

func (a *admin) apply(l limit) error {
	for _, g := range a.graphs {
		if g.Name() != l.Graph {
			continue
		}
		if l.Key != "" {
			return a.tune(g, l)
		}
		now, err := g.Limits(l.Stage)
		if err != nil {
			return err
		}
		if l.Depth > 0 {
			now.Depth = l.Depth
		}
		if l.Workers > 0 {
			now.Workers = l.Workers
		}
		return g.SetLimits(l.Stage, now)
	}
	var names []string
	for _, g := range a.graphs {
		names = append(names, g.Name())
	}
	return fmt.Errorf("no pipeline %q; there are %s", l.Graph, strings.Join(names, ", "))
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client went away
}

// serve answers until the server is shut down.
func serveHTTP(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin server: %w", err)
	}
	return nil
}
