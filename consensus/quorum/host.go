package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/vfs"

	"github.com/sluicemq/sluice/consensus/guard"
	"github.com/sluicemq/sluice/consensus/raftfs"
	"github.com/sluicemq/sluice/consensus/raftnet"
)

// raftShard returns dragonboat's number of a shard: 0 is Root, i is the i-th partition shard.
// Dragonboat starts at 1.
func raftShard(shard int) uint64 { return uint64(shard) + 1 }

// host is dragonboat, with the findings about its disk.
type host struct {
	*dragonboat.NodeHost
	latch   *raftfs.Latch
	reserve *raftfs.Reserve
	logs    *guardedLogs
	guard   *guard.File
	witness *witness
}

// openHost starts dragonboat without any shard.
func openHost(cfg Config, ids *identity, network *raftnet.Net, events raftio.IRaftEventListener, log *slog.Logger) (*host, error) {
	if err := dropFlagFiles(cfg.Directory, log); err != nil {
		return nil, err
	}
	var err error
	h := &host{latch: raftfs.NewLatch()}
	if h.reserve, err = openReserve(cfg, log); err != nil {
		return nil, err
	}
	h.witness = &witness{path: cfg.Witness, log: log}
	logs := &openLogs{cfg: cfg, ids: ids, log: log, latch: h.latch, witness: h.witness}
	c := hostConfig(cfg, raftfs.FS{Disk: cfg.disk(), Latch: h.latch, Reserve: h.reserve}, logs, network)
	c.RaftEventListener = events
	err = unpanicked(func() (err error) { h.NodeHost, err = dragonboat.NewNodeHost(c); return err })
	if failed := h.latch.Err(); failed != nil {
		return nil, errors.Join(failed, h.witness.close()) // dragonboat's own error says less
	}
	if err == nil && h.NodeHost == nil {
		err = errors.New("raft: start failed without an error") // it swallows panics that are not errors
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", cfg.Directory, err), h.witness.close())
	}
	h.logs, h.guard = logs.out, logs.out.guard
	return h, nil
}

// adoptDirectory makes a directory of another host name usable.
func adoptDirectory(cfg Config) error {
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	return adopt(cfg.Directory, hostname)
}

// openReserve allocates disk space for when others have filled the disk.
func openReserve(cfg Config, log *slog.Logger) (*raftfs.Reserve, error) {
	r, err := raftfs.NewReserve(filepath.Join(cfg.Directory, reserveDirectory), cfg.ReserveBytes)
	if err != nil {
		return nil, err
	}
	if err := r.Fill(); err != nil {
		log.Error("the metadata disk has no space for its reserve; free space, or the process will stop when the disk is full", "err", err)
	}
	return r, nil
}

func hostConfig(cfg Config, disk vfs.FS, logs config.LogDBFactory, network *raftnet.Net) config.NodeHostConfig {
	db := config.GetTinyMemLogDBConfig()
	db.KVWriteBufferSize = writeBuffer
	c := config.NodeHostConfig{
		NodeHostDir:    cfg.Directory,
		RTTMillisecond: uint64(cfg.Tick.Milliseconds()),
		RaftAddress:    raftnet.Name(cfg.ID),
		Expert: config.ExpertConfig{
			LogDBFactory:     logs,
			LogDB:            db,
			FS:               disk,
			TransportFactory: alone{},
			Engine: config.EngineConfig{ExecShards: workers, CommitShards: workers, ApplyShards: workers,
				SnapshotShards: workers, CloseShards: workers},
		},
	}
	if network != nil {
		c.Expert.TransportFactory = raftnet.Factory{Net: network}
	}
	return c
}

const (
	// workers in each of dragonboat's pools: more than the disk can sync in parallel costs
	// memory and idle time. The number of a directory cannot be changed.
	workers = 2
	// writeBuffer is allocated 16 times. A larger command gets its own.
	writeBuffer = 64 << 10
)

// maxPending is how many bytes of a shard's changes may wait for being applied, far above the
// largest one. More are refused, and tried again.
const maxPending = 64 << 20

// shardConfig is the config of a shard's replica.
func shardConfig(cfg Config, shard int, replica uint64) config.Config {
	return config.Config{ReplicaID: replica, ShardID: raftShard(shard), ElectionRTT: 5, HeartbeatRTT: 1,
		CheckQuorum: true, PreVote: true, MaxInMemLogSize: maxPending, SnapshotEntries: uint64(cfg.SnapshotEntries), CompactionOverhead: uint64(cfg.SnapshotEntries / 8)}
}

// close stops dragonboat. After a disk failure that would never end, since its goroutines are
// blocked; see raftfs.Latch.
func (h *host) close() error {
	if err := h.latch.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- unpanicked(func() error { h.Close(); return nil }) }()
	select {
	case err := <-done:
		return err
	case <-h.latch.Failed():
		return h.latch.Err()
	}
}

// unpanicked calls f and returns a panic as an error, since dragonboat reports an unreadable
// log by panicking.
func unpanicked(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if failure, ok := r.(error); ok {
				err = fmt.Errorf("raft: %w", failure)
				return
			}
			err = fmt.Errorf("raft: %v", r)
		}
	}()
	return f()
}

// alone is the transport of a single node: it listens nowhere.
type alone struct{}

var errAlone = errors.New("this node is alone")

func (alone) Create(config.NodeHostConfig, raftio.MessageHandler, raftio.ChunkHandler) raftio.ITransport {
	return alone{}
}
func (alone) Validate(target string) bool {
	_, ok := raftnet.ParseName(target)
	return ok
}
func (alone) Name() string { return "alone" }
func (alone) Start() error { return nil }
func (alone) Close() error { return nil }

func (alone) GetConnection(context.Context, string) (raftio.IConnection, error) { return nil, errAlone }

func (alone) GetSnapshotConnection(context.Context, string) (raftio.ISnapshotConnection, error) {
	return nil, errAlone
}
