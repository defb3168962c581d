package kafka

import (
	"context"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rootLogger is Kafka's name of the root logger, the only one here: there is one log level.
const rootLogger = "root"

// logLevels maps Kafka's level names to slog levels. Nothing is logged at TRACE or FATAL; they
// show more, or less, than all others.
var logLevels = []struct {
	name  string
	level slog.Level
}{
	{"TRACE", slog.LevelDebug - 4},
	{"DEBUG", slog.LevelDebug},
	{"INFO", slog.LevelInfo},
	{"WARN", slog.LevelWarn},
	{"ERROR", slog.LevelError},
	{"FATAL", slog.LevelError + 4},
}

// levelName returns Kafka's name of a level.
func levelName(level slog.Level) string {
	for _, l := range logLevels {
		if level <= l.level {
			return l.name
		}
	}
	return "OFF"
}

// loggerConfigs returns the levels of the broker's loggers (KIP-412).
func loggerConfigs(level string) []describedConfig {
	return []describedConfig{{name: rootLogger, value: level, only: true, source: kmsg.ConfigSourceDynamicBrokerLoggerConfig,
		doc: "Minimum log level: TRACE, DEBUG, INFO, WARN, ERROR or FATAL. A restart resets it to the configuration file."}}
}

// prepareLogger checks a change of this broker's log level. It takes effect at once and is not
// persisted.
func (a *topicAdmin) prepareLogger(c *configChange) error {
	if err := thisBroker(a.node, c.name); err != nil {
		return err
	}
	if c.replace {
		return refuse(kerr.InvalidRequest, "loggers can only be altered by IncrementalAlterConfigs")
	}
	for i := range c.ops {
		op := &c.ops[i]
		if op.name != rootLogger {
			return refuse(kerr.InvalidConfig, "logger "+op.name+" does not exist; the only one is root")
		}
		if op.op == kmsg.IncrementalAlterConfigOpDelete {
			return refuse(kerr.InvalidRequest, "the level of the root logger cannot be removed; set it")
		}
		if op.op != kmsg.IncrementalAlterConfigOpSet {
			return refuse(kerr.InvalidRequest, "the level of a logger can only be set")
		}
		level, err := parseLevel(*op.value)
		if err != nil {
			return err
		}
		c.do = func(context.Context) error { a.setLevel(level); return nil }
	}
	return nil
}

func parseLevel(name string) (slog.Level, error) {
	for _, l := range logLevels {
		if l.name == name {
			return l.level, nil
		}
	}
	names := make([]string, len(logLevels))
	for i, l := range logLevels {
		names[i] = l.name
	}
	return 0, refuse(kerr.InvalidConfig, "unknown log level "+name+"; use one of "+strings.Join(names, ", "))
}

// setLevel logs the change at a level that is shown, before or after.
func (a *topicAdmin) setLevel(level slog.Level) {
	from := a.level.Level()
	a.level.Set(level)
	a.log.Log(context.Background(), max(from, level, slog.LevelInfo), "log level changed by a client", "from", levelName(from), "to", levelName(level))
}
