package raftnet

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"
)

// handlers are dragonboat's ends.
type handlers struct {
	messages raftio.MessageHandler
	chunk    raftio.ChunkHandler
}

// Factory makes dragonboat use the Net.
type Factory struct{ Net *Net }

// Create returns the transport, which passes nothing on before Start.
func (f Factory) Create(_ config.NodeHostConfig, m raftio.MessageHandler, c raftio.ChunkHandler) raftio.ITransport {
	return transport{f.Net, handlers{m, c}}
}

// Validate reports whether a target is the name of a controller.
func (f Factory) Validate(target string) bool {
	_, ok := ParseName(target)
	return ok
}

// Campaign has local replicas start an election now, as if the leader had asked for it.
func (n *Net) Campaign(replicas ...raftio.NodeInfo) {
	n.mu.Lock()
	deliver := n.handlers.messages
	n.mu.Unlock()
	if deliver == nil {
		return
	}
	var batch raftpb.MessageBatch
	for _, r := range replicas {
		batch.Requests = append(batch.Requests, raftpb.Message{Type: raftpb.TimeoutNow, ShardID: r.ShardID, To: r.ReplicaID})
	}
	batch.BinVer = raftio.TransportBinVersion
	batch.DeploymentId = deployment
	deliver(batch)
}

// deployment is what dragonboat calls the default of its DeploymentID.
const deployment = 1

// transport is what dragonboat sees of a Net.
type transport struct {
	net      *Net
	handlers handlers
}

func (t transport) Name() string { return "sluice" }

// Start connects dragonboat's handlers.
func (t transport) Start() error {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	t.net.handlers = t.handlers
	return nil
}

// Close disconnects dragonboat. The Net stays open for calls.
func (t transport) Close() error {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	t.net.handlers = handlers{}
	return nil
}

// GetConnection returns a link to a controller, whether it can be reached or not.
func (t transport) GetConnection(_ context.Context, target string) (raftio.IConnection, error) {
	id, ok := ParseName(target)
	if !ok {
		return nil, fmt.Errorf("%q is not the name of a controller", target)
	}
	return t.net.link(id), nil
}

// GetSnapshotConnection connects to a controller.
func (t transport) GetSnapshotConnection(ctx context.Context, target string) (raftio.ISnapshotConnection, error) {
	id, ok := ParseName(target)
	if !ok {
		return nil, fmt.Errorf("%q is not the name of a controller", target)
	}
	conn, _, err := t.net.dial(ctx, id, "")
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn}, nil
}

// connection sends to one controller. One goroutine of dragonboat's uses it at a time.
type connection struct {
	conn net.Conn
	buf  []byte
}

func (c *connection) Close() { _ = c.conn.Close() } // what it lost, Raft sends again

// SendMessageBatch sends messages.
func (c *connection) SendMessageBatch(b raftpb.MessageBatch) error {
	return c.send(kindMessages, b.SizeUpperLimit(), b.MarshalTo)
}

// SendChunk sends a part of a snapshot.
func (c *connection) SendChunk(chunk raftpb.Chunk) error {
	return c.send(kindChunk, chunk.Size(), chunk.MarshalTo)
}

// keepBytes is how large a connection's buffer may stay.
const keepBytes = 256 << 10

func (c *connection) send(kind byte, most int, marshal func([]byte) (int, error)) error {
	if most > maxFrame {
		return fmt.Errorf("%w: %d bytes", ErrFrame, most)
	}
	if len(c.buf) < headerBytes+most {
		c.buf = make([]byte, headerBytes+most)
	}
	n, err := marshal(c.buf[headerBytes:])
	if err != nil {
		return err
	}
	frame := c.buf[:headerBytes+n]
	if len(c.buf) > keepBytes {
		c.buf = nil
	}
	putHeader(frame, kind)
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err = c.conn.Write(frame)
	return err
}
