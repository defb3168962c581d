package main

import (
	"bytes"
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
	"github.com/sluicemq/sluice/internal/setting"
)

// reloads reloads a node's settings on each SIGHUP. A signal that arrives before the node serves
// takes effect once it does.
type reloads struct {
	hup     chan os.Signal
	running sync.WaitGroup
}

// newReloads catches SIGHUP from now on, unless there is no file to reload.
func newReloads(file string) *reloads {
	r := &reloads{hup: make(chan os.Signal, 1)}
	if file != "" {
		signal.Notify(r.hup, syscall.SIGHUP)
	}
	return r
}

// begin reloads on each signal until ctx ends.
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

// end waits for a reload in progress, but not long: the file may be on a disk that hangs. REQUIRES:
// the context of begin has ended.
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

// changedFile reads and validates a settings file that may just be being written.
func changedFile(file, role string) (any, error) {
	switch st, err := os.Stat(file); {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file any more", file)
	}
	text, err := readSettings(file)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("%s is empty; write it anew in one step, by renaming", file)
	}
	cfg, _, err := parseText(file, text, role)
	return cfg, err
}

// reloadLog logs and counts the results of reloads.
type reloadLog struct {
	log     *slog.Logger
	level   *slog.LevelVar // level of log
	total   *prometheus.CounterVec
	waiting prometheus.Gauge
}

// Results of a reload, in metrics.
const (
	reloadApplied = "applied"
	reloadRefused = "refused"
)

func newReloadLog(log *slog.Logger, level *slog.LevelVar, reg prometheus.Registerer) reloadLog {
	l := reloadLog{log: log, level: level,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_config_reloads_total",
			Help: "Reloads of the settings (SIGHUP), by result: taken, or refused, which changes nothing."}, []string{"result"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_config_restart_settings",
			Help: "Settings that the file has changed and that take a restart, as of the last reload."})}
	for _, result := range []string{reloadApplied, reloadRefused} {
		l.total.WithLabelValues(result)
	}
	reg.MustRegister(l.total, l.waiting)
	return l
}

// refused reports a reload that changed nothing.
func (l *reloadLog) refused(err error) {
	l.log.Error("settings were not reloaded; those in force stay", "err", err)
	l.total.WithLabelValues(reloadRefused).Inc()
}

// taken reports which settings have changed, and which need a restart. The reload was requested
// explicitly, so it is logged at any level.
func (l *reloadLog) taken(changed, waiting []string) {
	l.waiting.Set(float64(len(waiting)))
	l.log.Log(context.Background(), max(slog.LevelInfo, l.level.Level()), "settings were reloaded", "changed", or(strings.Join(changed, ", "), "nothing"))
	if len(waiting) > 0 {
		l.log.Log(context.Background(), max(slog.LevelWarn, l.level.Level()), "settings of the file take a restart", "settings", strings.Join(waiting, ", "))
	}
	l.total.WithLabelValues(reloadApplied).Inc()
}

// take applies changed settings that, according to their tags, can be changed without a restart:
// limits of stages with change, all or none, and the log level.
func (l *reloadLog) take(now settings, all []setting.Field, change func([]setting.Field) error) error {
	var limits, levels []setting.Field
	var changed, waiting []string
	for _, f := range all {
		switch {
		case f.Live.Limit != "":
			limits = append(limits, f)
		case f.Live.Stage == "log":
			levels = append(levels, f)
		default:
			waiting = append(waiting, f.Key)
			continue
		}
		changed = append(changed, now.told(f))
	}
	if err := change(limits); err != nil {
		return fmt.Errorf("with what takes a restart as it is now: %w", err)
	}
	for _, f := range levels {
		if err := setLevel(l.level, f); err != nil { // the file was validated
			l.log.Error("the log level stays", "err", err)
		}
	}
	for _, f := range append(limits, levels...) {
		now[f.Key] = f.Value()
	}
	l.taken(changed, waiting)
	return nil
}

// settings are the values of all keys of a settings file.
type settings map[string]any

func settingsOf(cfg any) settings {
	s := make(settings)
	for f := range setting.Fields(cfg) {
		s[f.Key] = f.Value()
	}
	return s
}

// changes returns the settings of a file that differ from s, in file order.
func (s settings) changes(cfg any) (all []setting.Field) {
	for f := range setting.Fields(cfg) {
		if s[f.Key] != f.Value() {
			all = append(all, f)
		}
	}
	return all
}

// told formats the old and new value of a setting.
func (s settings) told(f setting.Field) string {
	return fmt.Sprintf("%s %v -> %v", f.Key, s[f.Key], f.Value())
}

// setLevel sets the level of a log from a validated setting.
func setLevel(v *slog.LevelVar, f setting.Field) error {
	var level slog.Level
	name, _ := f.Value().(string)
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
	now  settings // in force, except for changes at run time
}

func (r *brokerReload) reload() {
	cfg, err := changedFile(r.file, config.RoleBroker)
	if err == nil {
		err = r.take(r.now, r.now.changes(cfg), r.live.Change)
	}
	if err != nil {
		r.refused(err)
		return
	}
	r.live.ReloadCertificates()
}

// controllerReload reloads the settings of a controller. A controller has no stages.
type controllerReload struct {
	reloadLog
	file string
	now  settings
}

func (r *controllerReload) reload() {
	cfg, err := changedFile(r.file, config.RoleController)
	if err == nil {
		err = r.take(r.now, r.now.changes(cfg), func([]setting.Field) error { return nil })
	}
	if err != nil {
		r.refused(err)
	}
}
