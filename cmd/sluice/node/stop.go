package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A stop has one owner, node.drain, and one deadline, Config.Grace after its start. Everything
// acknowledged is in the WAL or in the metadata before the stop starts, so nothing has to be
// finished for its sake:
//
//	who                                   what ends the wait
//	long polls, joins of groups           their servers are closed at once
//	uploads, compaction, retention        abandoned at once; the WAL has the data
//	reads of objects, searches by time    abandoned at once; clients retry
//	producers, if the WAL is full         refused at once; nothing will free space
//	requests of operators                 their context ends at once
//	requests of clients                   answered; half of the grace
//	clients that read no responses        disconnected after half of the grace
//	the pipelines of writes and reads     drained; after the grace the log names what hangs
//	tracing, the admin server             at most one second each
//
// Anything that ignores the end of its context (a system call on a hanging disk) is left behind
// and named. If that is work on the object store, the stop still succeeds; for the WAL and the
// metadata it is an error.

// stopping is a stop in progress. One goroutine owns it.
type stopping struct {
	log      *slog.Logger
	began    time.Time
	half     time.Time // deadline of clients
	deadline time.Time
	behind   bool // something was left behind, and may still use files
}

func newStopping(grace time.Duration, log *slog.Logger) *stopping {
	now := time.Now()
	return &stopping{log: log, began: now, half: now.Add(grace / 2), deadline: now.Add(grace)}
}

// took returns the time since the stop began.
func (s *stopping) took() time.Duration { return time.Since(s.began).Round(time.Millisecond) }

// leastWait is the minimum time of each step, even if earlier ones used up the grace.
const leastWait = 500 * time.Millisecond

// errHangs means that a step of the stop did not end in time.
var errHangs = errors.New("did not end in time")

// wait calls end, which may block, and returns its result, or errHangs at the deadline.
func (s *stopping) wait(what string, end func() error) error {
	began := time.Now()
	defer func() {
		s.log.Debug("a step of the stop", "what", what, "took", time.Since(began).Round(time.Millisecond))
	}()
	over := make(chan error, 1)
	go func() { over <- end() }()
	timer := time.NewTimer(max(leastWait, time.Until(s.deadline)))
	defer timer.Stop()
	select {
	case err := <-over:
		return err
	case <-timer.C:
		s.behind = true
		return fmt.Errorf("%s %w; nothing that was acknowledged depends on it", what, errHangs)
	}
}

// without is wait for something that the process may exit without.
func (s *stopping) without(what string, end func()) {
	if err := s.wait(what, func() error { end(); return nil }); err != nil {
		s.log.Warn("the stop leaves something behind", "what", err)
	}
}

// clients returns a context that ends at the deadline of clients.
func (s *stopping) clients() (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), s.half)
}

// shortly returns a context that ends at the deadline, or after a second.
func (s *stopping) shortly() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), min(time.Second, max(leastWait, time.Until(s.deadline))))
}

// drain finishes clients and ends the pipelines.
func (n *node) drain(s *stopping, storage *storageRun) error {
	n.listeners.closeListeners()
	n.listeners.endAdminRequests()
	n.storage.letGo()
	s.without("fetches", n.fetch.Close)
	s.without("consumer groups", n.groups.Close)
	clients, cancel := s.clients()
	defer cancel()
	if err := n.server.Shutdown(clients); err != nil {
		n.log.Warn("clients were disconnected by the stop", "err", err)
	}
	n.listeners.endConnections()
	err := s.wait("writes and reads", storage.stop)
	s.without("work on the object store", n.storage.background.Wait)
	shortly, cancel := s.shortly()
	defer cancel()
	s.without("connections", func() { n.listeners.wait(shortly) })
	return err
}

// storageRun is the running pipelines.
type storageRun struct {
	cancel context.CancelFunc
	over   chan error
}

// runStorage runs the pipelines. failed is called if they end by themselves.
func (n *node) runStorage(failed context.CancelCauseFunc) *storageRun {
	ctx, cancel := context.WithCancel(context.Background())
	r := &storageRun{cancel, make(chan error, 1)}
	go func() {
		err := n.storage.run(ctx, n.cfg.Settings.Broker.ShutdownGrace/2)
		failed(errStorage)
		r.over <- err
	}()
	return r
}

// stop drains the pipelines of writes and reads, and returns why they ended.
func (r *storageRun) stop() error {
	r.cancel()
	return <-r.over
}

var errStorage = errors.New("the pipelines have ended")

// close closes everything that open has opened.
func (n *node) close(s *stopping) error {
	var errs []error
	if n.handlers != nil {
		s.without("requests", n.handlers.Close)
	}
	if n.groups != nil {
		s.without("consumer groups", n.groups.Close)
	}
	if n.fetch != nil {
		s.without("fetches", n.fetch.Close)
	}
	shortly, cancel := s.shortly()
	defer cancel()
	n.tracing.close(shortly, n.log)
	if n.storage != nil {
		s.without("reads of objects", n.storage.fetcher.Close)
		if !s.behind { // otherwise the files are closed with the process
			errs = append(errs, s.wait("the WAL", n.storage.close))
		}
	}
	if n.cluster != nil {
		errs = append(errs, s.wait("the metadata", n.cluster.Close))
	}
	if n.listeners != nil {
		errs = append(errs, n.listeners.close())
	}
	return errors.Join(errs...)
}

// letGo abandons work that a stop need not finish, since the WAL has the data: work on the object
// store, and writes waiting for it to free space.
func (s *storage) letGo() {
	s.lettingGo.Do(func() {
		close(s.stopping)
		s.endWork()
		s.log.Refuse()
		s.fetcher.Stop()
	})
}

// inBackground runs work that letGo abandons.
func (s *storage) inBackground(work ...func(context.Context)) {
	for _, do := range work {
		s.background.Go(func() { do(s.work) })
	}
}
