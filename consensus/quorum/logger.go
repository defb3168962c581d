package quorum

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/logger"
)

// raftLog receives dragonboat's log. Dragonboat has one logger factory per process, so this is
// the package's only global: the last Open wins.
var (
	raftLog      atomic.Pointer[slog.Logger]
	raftLogRoute sync.Once
)

func routeRaftLog(log *slog.Logger) {
	raftLog.Store(log)
	raftLogRoute.Do(func() {
		logger.SetLoggerFactory(func(pkg string) logger.ILogger { return raftLogger(pkg) })
	})
}

// raftLogger is the logger of one dragonboat package. Errors pass. Warnings become debug
// messages: they are about elections, and requests before one is over, a hundred at every
// start.
type raftLogger string

func (raftLogger) SetLevel(logger.LogLevel) {}
func (raftLogger) Debugf(string, ...any)    {}
func (raftLogger) Infof(string, ...any)     {}

func (l raftLogger) Warningf(format string, args ...any) {
	if log := raftLog.Load(); log.Enabled(context.Background(), slog.LevelDebug) {
		log.Debug(fmt.Sprintf(format, args...), "raft", string(l))
	}
}

func (l raftLogger) Errorf(format string, args ...any) {
	raftLog.Load().Error(fmt.Sprintf(format, args...), "raft", string(l))
}

func (l raftLogger) Panicf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	raftLog.Load().Error(text, "raft", string(l))
	panic(text)
}
