package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluicemq/sluice/consensus/quorum"
	"github.com/sluicemq/sluice/internal/meta"
)

var (
	errResumed  = errors.New("the broker has resumed its session")
	errLeftover = errors.New("something follows the hello")
)

// welcome reads the hello of a stream and answers it.
func (s *Server) welcome(ss grpc.ServerStream) (hello, error) {
	var b []byte
	if err := ss.RecvMsg(&b); err != nil {
		return hello{}, err
	}
	h, rest, err := parseHello(b)
	if err == nil && len(rest) > 0 {
		err = errLeftover
	}
	if err != nil {
		return h, refusal{err}
	}
	if err := s.verify(ss.Context(), h); err != nil {
		return h, err
	}
	return h, ss.SendMsg(welcome{s.o.ID, s.o.Controller.Shards(), s.o.Controller.ClusterID()}.append(nil))
}

// follow serves a stream of entries.
func (s *Server) follow(ss grpc.ServerStream) error {
	h, err := s.welcome(ss)
	if err != nil {
		return err
	}
	s.metrics.streams.Inc()
	defer s.metrics.streams.Dec()
	ctx, cancel := context.WithCancelCause(ss.Context())
	defer cancel(nil)
	f := &followers{s: s, ss: ss, ctx: ctx, fail: cancel, pumps: make(map[int]context.CancelFunc)}
	s.log.Debug("a broker follows", "broker", h.broker)
	go f.receive() // ends with the stream
	err = f.heartbeats()
	cancel(err)
	f.wait()
	return err
}

// followers are the subscriptions of one stream.
type followers struct {
	s    *Server
	ss   grpc.ServerStream
	ctx  context.Context
	fail context.CancelCauseFunc

	sending sync.Mutex // SendMsg is for one at a time

	mu    sync.Mutex
	pumps map[int]context.CancelFunc // by shard
	ended bool
	tasks sync.WaitGroup
}

// wait returns once nothing more is sent.
func (f *followers) wait() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.tasks.Wait()
}

func (f *followers) send(m message) error {
	b := m.append(nil)
	if m.kind != kindHeartbeat {
		f.s.metrics.sent.Add(float64(len(b)))
	}
	f.sending.Lock()
	defer f.sending.Unlock()
	return f.ss.SendMsg(b)
}

// uncertain is how long shard 0 may be without a leader, as this controller sees it, before brokers
// are sent away: others may have one.
const uncertain = time.Second

// heartbeats sends heartbeats until the stream ends, and returns why it does.
func (f *followers) heartbeats() error {
	ticker := time.NewTicker(f.s.o.Config.heartbeat())
	defer ticker.Stop()
	led := time.Now()
	for n := uint64(0); ; n++ {
		if f.s.o.Controller.Led(0) {
			led = time.Now()
		}
		if time.Since(led) > uncertain {
			return status.Error(codes.Unavailable, "this controller does not know the leader of shard 0; ask another one")
		}
		if err := f.send(message{kind: kindHeartbeat, number: n}); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-f.ctx.Done():
			if f.s.life.Err() != nil {
				return status.Error(codes.Unavailable, "the controller is stopping")
			}
			return context.Cause(f.ctx)
		}
	}
}

// receive takes subscriptions until the stream ends.
func (f *followers) receive() {
	for {
		var b []byte
		err := f.ss.RecvMsg(&b)
		if errors.Is(err, io.EOF) {
			err = status.Error(codes.Canceled, "the broker has ended the stream")
		}
		if err == nil {
			err = f.subscribe(b)
		}
		if err != nil {
			f.fail(err)
			return
		}
	}
}

func (f *followers) subscribe(b []byte) error {
	m, err := parseMessage(b)
	if err == nil && m.kind != kindSubscribe {
		err = fmt.Errorf("a message of kind %d from a broker that follows", m.kind)
	}
	if err == nil && m.shard > f.s.o.Controller.Shards() {
		err = fmt.Errorf("shard %d of %d", m.shard, f.s.o.Controller.Shards())
	}
	if err != nil {
		return violation{err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return context.Canceled
	}
	if stop := f.pumps[m.shard]; stop != nil {
		stop()
	}
	ctx, cancel := context.WithCancel(f.ctx)
	f.pumps[m.shard] = cancel
	f.tasks.Go(func() { f.pump(ctx, m.shard, m.token, m.at) })
	return nil
}

// pump sends what follows in a shard.
func (f *followers) pump(ctx context.Context, shard int, token uint32, after quorum.Position) {
	if why := f.s.o.Controller.Offline()[shard]; why != nil {
		_ = f.send(message{kind: kindFailed, shard: shard, token: token, reason: reasonNotHere, text: why.Error()}) // the stream has ended then
		return
	}
	follower := f.s.o.Controller.Follow(shard, after)
	for first := true; ; first = false {
		changes, err := follower.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && first && changes.Snapshot == nil && len(changes.Entries) == 0 {
			err = f.send(message{kind: kindEntries, shard: shard, token: token}) // there is nothing yet
		} else if err == nil {
			err = f.pass(ctx, shard, token, changes)
		}
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
		case errors.Is(err, meta.ErrUnavailable):
			reason := reasonNotHere
			if errors.Is(err, quorum.ErrAhead) {
				reason = reasonBehind
			}
			_ = f.send(message{kind: kindFailed, shard: shard, token: token, reason: reason, text: err.Error()}) // the stream has ended then
		default:
			f.fail(err)
		}
		return
	}
}

// pass sends changes in messages of limited size.
func (f *followers) pass(ctx context.Context, shard int, token uint32, changes quorum.Changes) error {
	if snapshot := changes.Snapshot; snapshot != nil {
		f.s.metrics.whole.Inc()
		total := uint64(len(snapshot.State))
		for at := uint64(0); at == 0 || at < total; at += pieceBytes {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			piece := snapshot.State[at:min(at+pieceBytes, total)]
			if err := f.send(message{kind: kindSnapshot, shard: shard, token: token, at: snapshot.Position, total: total, from: at, piece: piece}); err != nil {
				return err
			}
		}
	}
	for entries := changes.Entries; len(entries) > 0; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, size := 0, 0
		for n < len(entries) && (n == 0 || size+len(entries[n].Cmd) <= pieceBytes) {
			size += len(entries[n].Cmd)
			n++
		}
		if err := f.send(message{kind: kindEntries, shard: shard, token: token, entries: entries[:n]}); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// session serves a broker's session.
func (s *Server) session(ss grpc.ServerStream) error {
	h, err := s.welcome(ss)
	if err != nil {
		return err
	}
	if h.incarnation == 0 {
		return violation{fmt.Errorf("broker %d has no incarnation yet", h.broker)}
	}
	stale := refusal{fmt.Errorf("broker %d has been started again since incarnation %d; two processes may have the same id", h.broker, h.incarnation)}
	if !s.sessions.opened(h.broker, h.incarnation) {
		return stale
	}
	s.log.Info("a broker has opened a session", "broker", h.broker, "incarnation", h.incarnation)
	defer s.sessions.broke(h.broker, h.incarnation)
	for {
		var b []byte
		if err := ss.RecvMsg(&b); err != nil {
			return s.sessionEnded(h, err)
		}
		m, err := parseMessage(b)
		if err != nil || m.kind != kindHeartbeat {
			return violation{fmt.Errorf("broker %d: a message of kind %d in a session: %w", h.broker, m.kind, errors.Join(err, errMessage))}
		}
		if !s.sessions.heard(h.broker, h.incarnation) {
			return stale
		}
		if err := ss.SendMsg(m.append(nil)); err != nil {
			return s.sessionEnded(h, err)
		}
	}
}

func (s *Server) sessionEnded(h hello, err error) error {
	if s.life.Err() == nil {
		s.log.Warn("the stream of a broker's session broke", "broker", h.broker, "incarnation", h.incarnation, "err", status.Convert(err).Message())
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
