package raftnet

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"

	"github.com/sluicemq/sluice/internal/certs"
)

// maxConns bounds connections, most of all those that have not shown a certificate yet.
const maxConns = 256

func (n *Net) accept() {
	for {
		raw, err := n.listener.Accept()
		if n.life.Err() != nil {
			if err == nil {
				_ = raw.Close()
			}
			return
		}
		if err != nil {
			n.cfg.Log.Warn("cannot accept a connection of another controller", "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-n.life.Done():
			}
			continue
		}
		if !n.keep(raw) {
			_ = raw.Close()
			continue
		}
		n.tasks.Go(func() {
			defer n.drop(raw)
			if err := n.serve(raw); err != nil && n.life.Err() == nil {
				n.cfg.Log.Debug("connection of another controller ended", "remote", raw.RemoteAddr(), "err", err)
			}
		})
	}
}

func (n *Net) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life.Err() != nil || len(n.conns) >= maxConns {
		return false
	}
	n.conns[c] = struct{}{}
	return true
}

func (n *Net) drop(c net.Conn) {
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
	_ = c.Close() // read to its end, or broken
}

// serve reads one connection to its end.
func (n *Net) serve(raw net.Conn) error {
	conn := tls.Server(raw, n.server)
	if err := conn.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	if err := conn.HandshakeContext(n.life); err != nil {
		n.cfg.Log.Warn("refused a connection to the port of controllers; it needs a certificate of the cluster's own CA and this version", "remote", raw.RemoteAddr(), "err", err)
		return err
	}
	if conn.ConnectionState().NegotiatedProtocol != protocol {
		return fmt.Errorf("%w: the peer does not speak %s", ErrFrame, protocol)
	}
	in := bufio.NewReaderSize(conn, 16<<10)
	var h hello
	if err := readJSON(in, kindHello, &h); err != nil {
		return err
	}
	peer, err := certs.Peer(conn.ConnectionState())
	if err != nil {
		return err
	}
	if err := n.welcome(h, peer.ID); err != nil {
		return errors.Join(err, writeJSON(conn, kindReply, reply{Error: err.Error()}))
	}
	if err := writeJSON(conn, kindReply, reply{From: n.cfg.ID, Incarnation: n.cfg.Incarnation}); err != nil {
		return err
	}
	n.learn(h.From, h.Address)
	return n.frames(conn, in, h)
}

func (n *Net) welcome(h hello, certified int32) error {
	mine := n.cluster()
	switch {
	case h.To != certs.Any && h.To != n.cfg.ID:
		return fmt.Errorf("%s was expected here, but this is %s", Name(h.To), Name(n.cfg.ID))
	case h.From != certified:
		return fmt.Errorf("%s has the certificate of node %d", Name(h.From), certified)
	case h.From == n.cfg.ID:
		return fmt.Errorf("two controllers have the id %d, the other one at %s", h.From, n.cfg.Advertise)
	case h.Cluster != "" && mine != "" && h.Cluster != mine:
		return fmt.Errorf("%s belongs to another cluster than %s", Name(h.From), Name(n.cfg.ID))
	}
	return nil
}

// frames reads frames until the connection ends.
func (n *Net) frames(conn *tls.Conn, in *bufio.Reader, h hello) error {
	var buf bytes.Buffer
	streaming := false
	defer func() {
		if streaming {
			n.ended(h)
		}
	}()
	for {
		if err := conn.SetDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		kind, err := readFrame(in, &buf)
		if err != nil {
			return err
		}
		switch kind {
		case kindMessages:
			if !streaming {
				streaming = true
				n.began(h)
			}
			err = n.messages(h, buf.Bytes())
		case kindChunk:
			err = n.chunk(buf.Bytes())
		case kindCall:
			err = n.answer(conn, h, buf.Bytes())
		default:
			err = fmt.Errorf("%w: kind %d after the hello", ErrFrame, kind)
		}
		if err != nil {
			return err
		}
		if buf.Cap() > maxSmall {
			buf = bytes.Buffer{} // do not keep what a rare large one took
		}
	}
}

func (n *Net) messages(h hello, b []byte) error {
	var batch raftpb.MessageBatch
	if err := batch.Unmarshal(b); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	for _, m := range batch.Requests {
		if m.To == 0 || m.Type == raftpb.LocalTick || m.Type == raftpb.InstallSnapshot || ControllerOf(m.From) != h.From {
			return fmt.Errorf("%w: a %s message from %d to %d", ErrFrame, m.Type, m.From, m.To) // dragonboat would panic, or take it for its own
		}
	}
	n.mu.Lock()
	deliver := n.handlers.messages
	if s := n.streams[h.From]; s != nil {
		s.last = time.Now()
	}
	n.mu.Unlock()
	if deliver != nil {
		byTarget(batch, deliver)
	}
	return nil
}

// byTarget delivers a batch in parts, each from one target. By a batch's source dragonboat learns
// where to send the answers, and it panics on two names of one replica.
func byTarget(batch raftpb.MessageBatch, deliver raftio.MessageHandler) {
	for all := batch.Requests; len(all) > 0; {
		n := 1
		for n < len(all) && all[n].From == all[0].From {
			n++
		}
		batch.SourceAddress, batch.Requests = Target(all[0].From), all[:n]
		all = all[n:]
		deliver(batch)
	}
}

func (n *Net) chunk(b []byte) error {
	var c raftpb.Chunk
	if err := c.Unmarshal(b); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	n.mu.Lock()
	deliver := n.handlers.chunk
	n.mu.Unlock()
	if deliver == nil || !deliver(c) {
		return errors.New("a snapshot chunk was not accepted")
	}
	return nil
}

func (n *Net) answer(conn net.Conn, h hello, b []byte) error {
	var c call
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("%w: %w", ErrFrame, err)
	}
	var r reply
	if n.cfg.Handle == nil {
		r.Error = "calls are not served"
	} else if v, err := n.cfg.Handle(n.life, h.From, c.Method, c.Body); err != nil {
		r.Error = err.Error()
	} else if r.Body, err = json.Marshal(v); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	return writeJSON(conn, kindReply, r)
}

func (n *Net) began(h hello) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.streams[h.From]
	if s == nil {
		s = &inbound{}
		n.streams[h.From] = s
	}
	s.incarnation, s.last = h.Incarnation, time.Now()
	s.conns++
}

// ended notes that a connection has ended and, if it was the last one, finds out whether the
// process behind it has, too.
func (n *Net) ended(h hello) {
	n.mu.Lock()
	s := n.streams[h.From]
	s.conns--
	last, address := s.conns == 0, n.peers[h.From]
	n.mu.Unlock()
	if !last || n.life.Err() != nil || n.cfg.Down == nil {
		return
	}
	if n.gone(h.From, address) {
		n.cfg.Down(h.From)
	}
}

// gone reports whether nobody listens at an address any more. A process that ends may close its
// listener after its connections, so one that accepts must also answer.
func (n *Net) gone(id int32, address string) bool {
	ctx, cancel := context.WithTimeout(n.life, dialTimeout)
	defer cancel()
	for ctx.Err() == nil {
		c, _, err := n.dial(ctx, id, address)
		if err == nil {
			_ = c.Close()
			return false
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			return true
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return false
}
