package kafka

import (
	"context"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rootLogger is the one logger of a broker, under Kafka's name for it: there is one level
// for all that is logged.
const rootLogger = "root"

// logLevels are Kafka's names of levels and what they are here. Nothing is logged at trace
// and fatal, which show more and less than all others.
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

// levelName is Kafka's name of the level that shows as much.
func levelName(level slog.Level) string {
	for _, l := range logLevels {
		if level <= l.level {
			return l.name
		}
	}
	return "OFF"
}

// loggerConfigs are the levels of the broker's loggers (KIP-412).
func loggerConfigs(level *slog.LevelVar) []describedConfig {
	return []describedConfig{{name: rootLogger, value: levelName(level.Level()), only: true, source: kmsg.ConfigSourceDynamicBrokerLoggerConfig,
		doc: "The least level that is logged: TRACE, DEBUG, INFO, WARN, ERROR or FATAL. It is that of the configuration file again after a restart."}}
}

// prepareLogger checks a change of the level at which this broker logs. It takes effect
// at once and is not kept.
func (a *topicAdmin) prepareLogger(c *configChange) error {
	if err := thisBroker(a.node, c.name); err != nil {
		return err
	}
	if c.replace {
		return refuse(kerr.InvalidRequest, "loggers are altered by IncrementalAlterConfigs only")
	}
	for i := range c.ops {
		op := &c.ops[i]
		if op.name != rootLogger {
			return refuse(kerr.InvalidConfig, "logger "+op.name+" does not exist; there is one, root")
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
	return 0, refuse(kerr.InvalidConfig, "log level "+name+"; use one of "+strings.Join(names, ", "))
}

// setLevel notes the change at whatever level, since somebody has asked for it.
func (a *topicAdmin) setLevel(level slog.Level) {
	from := a.level.Level()
	a.level.Set(level)
	a.log.Log(context.Background(), max(from, level, slog.LevelInfo), "the log level was changed by a client", "from", levelName(from), "to", levelName(level))
}
