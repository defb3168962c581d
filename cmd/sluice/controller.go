package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/consensus"
	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/meta"
)

// serveController runs the metadata shards until ctx is done.
func serveController(ctx context.Context, cfg config.Controller, acceptLost bool, log *slog.Logger, serving func(admin string, reg prometheus.Registerer) error) (err error) {
	reg := prometheus.NewRegistry()
	admin := adminConfig(cfg.Admin, "")
	reg.MustRegister(admin.Build.Collector(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var listener net.Listener
	if cfg.Admin.Listen != "" {
		if listener, err = net.Listen("tcp", cfg.Admin.Listen); err != nil {
			return fmt.Errorf("admin server: %w; stop what uses that address or set another in admin.listen", err)
		}
		defer listener.Close()
	}
	dir, err := filepath.Abs(cfg.Controller.DataDirectory)
	if err != nil {
		return err
	}
	metadata := clusterConfig(cfg.Metadata, dir)
	metadata.AcceptLost = acceptLost
	cluster, err := consensus.Open(ctx, metadata, log, reg)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // asked to stop
	}
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	asked := make(chan time.Time, 1)
	defer func() {
		err = errors.Join(err, cluster.Close())
		log.Info("stopped", "took", time.Since(<-asked).Round(time.Millisecond))
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { asked <- time.Now() })
	go func() {
		select {
		case <-cluster.Failed(): // Close returns the error
			cancel()
		case <-ctx.Done():
		}
	}()
	if listener == nil {
		if err := serving("", reg); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	if err := serving(listener.Addr().String(), reg); err != nil {
		return err
	}
	s := adminhttp.New(admin, controllerMux(cluster, reg), log)
	return serveHTTP(ctx, listener, s, cfg.Controller.ShutdownGrace)
}

// controllerMux serves:
//
//	GET /metrics   Prometheus
//	GET /healthz   200 while the process works
//	GET /readyz    200 once the metadata is readable
//	GET /metadata  the cluster's brokers and topics, as JSON
//
// [adminhttp] adds /version and /debug/pprof/.
func controllerMux(cluster *consensus.Cluster, reg prometheus.Gatherer) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if cluster.View() == nil {
			adminhttp.Error(w, http.StatusServiceUnavailable, "the metadata has not been read yet")
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /metadata", func(w http.ResponseWriter, _ *http.Request) { writeMetadata(w, cluster.View()) })
	return mux
}

// serveHTTP serves until ctx is done, then waits up to grace for responses in progress.
func serveHTTP(ctx context.Context, l net.Listener, s *http.Server, grace time.Duration) error {
	over := make(chan error, 1)
	go func() { over <- s.Serve(l) }()
	select {
	case err := <-over:
		return fmt.Errorf("admin server: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if s.Shutdown(bounded) != nil {
		_ = s.Close() // clients still reading are disconnected
	}
	<-over // the shutdown error
	return nil
}

// topicInfo is a topic in the response to GET /metadata.
type topicInfo struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Partitions int               `json:"partitions"`
	Configs    map[string]string `json:"configs,omitempty"`
}

// writeMetadata responds with the brokers and topics of a view, which is nil until the metadata has
// been read.
func writeMetadata(w http.ResponseWriter, v *meta.View) {
	if v == nil {
		adminhttp.Error(w, http.StatusServiceUnavailable, "the metadata is not read yet")
		return
	}
	head, err := json.Marshal(struct {
		ClusterID string        `json:"cluster_id"`
		Version   uint64        `json:"version"`
		Brokers   []meta.Broker `json:"brokers"`
	}{v.ClusterID, v.Version, v.Brokers})
	if err != nil {
		adminhttp.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	adminhttp.Rows(w, strings.TrimSuffix(string(head), "}")+`,"topics":[`, "]}\n", func(yield func(topicInfo) bool) {
		for _, t := range v.Topics() {
			if !yield(topicInfo{t.Name, t.ID.String(), len(t.Partitions), t.Configs}) {
				return
			}
		}
	})
}
