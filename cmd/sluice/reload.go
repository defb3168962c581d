package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/cmd/sluice/node"
	"github.com/sluicemq/sluice/config"
)

// reloads has a node take up its settings anew with each SIGHUP. One that comes before the
// node serves waits until it does.
type reloads struct {
	hup     chan os.Signal
	running sync.WaitGroup
}

// newReloads catches the signal from now on, unless there is no file to reload.
func newReloads(file string) *reloads {
	r := &reloads{hup: make(chan os.Signal, 1)}
	if file != "" {
		signal.Notify(r.hup, syscall.SIGHUP)
	}
	return r
}

// begin reloads with each signal until ctx ends.
func (r *reloads) begin(ctx context.Context, target interface{ reload() }) {
	r.running.Go(func() {
		for {
			select {
			case <-r.hup:
				target.reload()
			case <-ctx.Done():
				return
			}
		}
	})
}

// end waits for a reload under way, but not for long: a file may be on a disk that does
// not answer. REQUIRES: the context of begin has ended.
func (r *reloads) end() {
	signal.Stop(r.hup)
	over := make(chan struct{})
	go func() {
		r.running.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(time.Second):
	}
}

// changedFile reads and checks a file of settings that may just be being written.
func changedFile(file, role string) (any, error) {
	switch st, err := os.Stat(file); {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file any more", file)
	case st.Size() == 0:
		return nil, fmt.Errorf("%s is empty; write it anew in one step, by renaming", file)
	}
	cfg, _, err := parseSettings(file, role)
	return cfg, err
}

// reloadLog says what became of reloads.
type reloadLog struct {
	log     *slog.Logger
	level   *slog.LevelVar // of log
	total   *prometheus.CounterVec
	waiting prometheus.Gauge
}

// The outcomes of a reload.
const (
	reloadTaken   = "taken"
	reloadRefused = "refused"
)

func newReloadLog(log *slog.Logger, level *slog.LevelVar, reg prometheus.Registerer) reloadLog {
	l := reloadLog{log: log, level: level,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_config_reloads_total",
			Help: "Reloads of the settings (SIGHUP), by result: taken, or refused, which changes nothing."}, []string{"result"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_config_restart_settings",
			Help: "Settings that the file has changed and that take a restart, as of the last reload."})}
	for _, result := range []string{reloadTaken, reloadRefused} {
		l.total.WithLabelValues(result)
	}
	reg.MustRegister(l.total, l.waiting)
	return l
}

// refused notes that nothing has changed.
func (l *reloadLog) refused(err error) {
	l.log.Error("settings were not reloaded; those in force stay", "err", err)
	l.total.WithLabelValues(reloadRefused).Inc()
}

// taken notes what has changed, and what waits for a restart. Somebody has asked, so that
// it is logged at any level.
func (l *reloadLog) taken(changed, waiting []string) {
	l.waiting.Set(float64(len(waiting)))
	l.log.Log(context.Background(), max(slog.LevelInfo, l.level.Level()), "settings were reloaded", "changed", or(strings.Join(changed, ", "), "nothing"))
	if len(waiting) > 0 {
		l.log.Log(context.Background(), max(slog.LevelWarn, l.level.Level()), "settings of the file take a restart", "settings", strings.Join(waiting, ", "))
	}
	l.total.WithLabelValues(reloadTaken).Inc()
}

// settings are the values of all keys of a file.
type settings map[string]any

func settingsOf(cfg any) settings {
	s := make(settings)
	for k := range config.Keys(cfg) {
		s[k.Name] = k.Value
	}
	return s
}

// changes returns what the settings of cfg have that s does not, in the order of the file.
func (s settings) changes(cfg any) (all []config.Key) {
	for k := range config.Keys(cfg) {
		if s[k.Name] != k.Value {
			all = append(all, k)
		}
	}
	return all
}

// told says from what to what a setting changes.
func (s settings) told(k config.Key) string {
	return fmt.Sprintf("%s %v -> %v", k.Name, s[k.Name], k.Value)
}

const logLevel = "log.level"

// setLevel sets the level of a log, which is known to be one.
func setLevel(v *slog.LevelVar, k config.Key) error {
	var level slog.Level
	name, _ := k.Value.(string)
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return fmt.Errorf("log.level %q: %w", name, err)
	}
	v.Set(level)
	return nil
}

// brokerReload reloads the settings of a broker.
type brokerReload struct {
	reloadLog
	file string
	live node.Live
	now  settings // in force, but for what was changed at run time
	// force is the same as one: what takes a restart is as it was at the start.
	force config.Broker
}

func (r *brokerReload) reload() {
	cfg, err := changedFile(r.file, config.RoleBroker)
	if err != nil {
		r.refused(err)
		return
	}
	var take []config.Key
	var waiting, changed []string
	limits := make(map[[2]string]map[string]int64)
	for _, k := range r.now.changes(cfg) {
		l, ok := hotLimits[k.Name]
		switch {
		case ok:
			at := [2]string{l.graph, l.stage}
			if limits[at] == nil {
				limits[at] = make(map[string]int64)
			}
			limits[at][l.key] = wholeNumber(k.Value)
		case k.Name != logLevel:
			waiting = append(waiting, k.Name)
			continue
		}
		take, changed = append(take, k), append(changed, r.now.told(k))
	}
	next := r.force.With(take)
	if _, err := nodeConfig(next); err != nil {
		r.refused(fmt.Errorf("with what takes a restart as it is now: %w", err))
		return
	}
	if err := next.Validate(); err != nil {
		r.refused(fmt.Errorf("with what takes a restart as it is now: %w", err))
		return
	}
	if err := r.set(limits); err != nil {
		r.refused(err)
		return
	}
	r.force = next
	for _, k := range take {
		if k.Name == logLevel {
			if err := setLevel(r.level, k); err != nil { // the file was found right
				r.log.Error("the log level stays", "err", err)
				continue
			}
		}
		r.now[k.Name] = k.Value
	}
	r.taken(changed, waiting)
	if err := r.live.ReloadCertificates(); err != nil {
		r.log.Error("certificates were not reloaded; those in use stay", "err", err)
	}
}

// set changes limits of stages, all of them or none.
func (r *brokerReload) set(limits map[[2]string]map[string]int64) error {
	all := make([]node.StageLimits, 0, len(limits))
	for at, values := range limits {
		all = append(all, node.StageLimits{Graph: at[0], Stage: at[1], Values: values})
	}
	return r.live.SetLimits(all)
}

func wholeNumber(v any) int64 {
	switch v := v.(type) {
	case int:
		return int64(v)
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

// controllerReload reloads the settings of a controller, of which only the level of its log
// can be changed.
type controllerReload struct {
	reloadLog
	file string
	now  settings
}

func (r *controllerReload) reload() {
	cfg, err := changedFile(r.file, config.RoleController)
	if err != nil {
		r.refused(err)
		return
	}
	var waiting, changed []string
	for _, k := range r.now.changes(cfg) {
		if k.Name != logLevel {
			waiting = append(waiting, k.Name)
			continue
		}
		if err := setLevel(r.level, k); err != nil { // the file was found right
			r.refused(err)
			return
		}
		changed = append(changed, r.now.told(k))
		r.now[k.Name] = k.Value
	}
	r.taken(changed, waiting)
}

// hotLimit is where a setting is a limit of a running stage.
type hotLimit struct{ graph, stage, key string }

// hotLimits has the settings that a reload changes, beside the level of the log; all others
// take a restart.
var hotLimits = func() map[string]hotLimit {
	all := map[string]hotLimit{
		"stages.batch.linger_us":                   {"write", "batch", "linger_us"},
		"stages.batch.eager_groups":                {"write", "batch", "eager_groups"},
		"stages.batch.target_bytes":                {"write", "batch", "target_bytes"},
		"stages.batch.max_bytes":                   {"write", "batch", "max_bytes"},
		"wal.upload_size_bytes":                    {"upload", "ledger", "size_bytes"},
		"wal.upload_interval_ms":                   {"upload", "ledger", "interval_ms"},
		"object_storage.garbage_check_interval_ms": {"upload", "upload", "garbage_check_interval_ms"},
		"compaction.check_interval_ms":             {"compact", "plan", "check_interval_ms"},
		"compaction.min_objects":                   {"compact", "plan", "min_objects"},
		"compaction.bytes_per_second":              {"compact", "compact", "bytes_per_second"},
		"compaction.memory_bytes":                  {"compact", "compact", "memory_bytes"},
		"compaction.paused":                        {"compact", "compact", "paused"},
		"retention.check_interval_ms":              {"retain", "sweep", "check_interval_ms"},
	}
	for _, stage := range []string{"sequence", "batch", "wal", "replicate", "join", "commit", "publish"} {
		all["stages."+stage+".depth"] = hotLimit{"write", stage, "depth"}
	}
	for _, stage := range []string{"locate", "read_cache", "walread", "readcache", "objectfetch", "trim"} {
		for _, key := range []string{"depth", "workers"} {
			all["stages."+stage+"."+key] = hotLimit{"read", strings.TrimPrefix(stage, "read_"), key}
		}
	}
	return all
}()
