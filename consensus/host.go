package consensus

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/vfs"
)

// replicaID is this node's number within every shard.
const replicaID = 1

// raftShard is dragonboat's number of a shard of ours: 0 is Root, i+1 the i-th
// partition shard. Dragonboat begins at 1.
func raftShard(shard int) uint64 { return uint64(shard) + 1 }

// openHost starts dragonboat without any shard.
func openHost(cfg Config) (host *dragonboat.NodeHost, err error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	if err := adopt(cfg.Directory, hostname); err != nil {
		return nil, err
	}
	db := config.GetTinyMemLogDBConfig()
	db.KVWriteBufferSize = writeBuffer
	c := config.NodeHostConfig{
		NodeHostDir:    cfg.Directory,
		RTTMillisecond: uint64(cfg.Tick.Milliseconds()),
		RaftAddress:    address(cfg),
		Expert: config.ExpertConfig{
			LogDBFactory: readLogs{tan.Factory},
			LogDB:        db,
			FS:           frugalFS{vfs.Default},
			Engine: config.EngineConfig{ExecShards: workers, CommitShards: workers, ApplyShards: workers,
				SnapshotShards: workers, CloseShards: workers},
		},
	}
	if cfg.RaftAddress == "" {
		c.Expert.TransportFactory = alone{}
	}
	err = unpanicked(func() (err error) { host, err = dragonboat.NewNodeHost(c); return err })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Directory, err)
	}
	return host, nil
}

const (
	// workers of each of dragonboat's pools: more than the syncs of a node's disk
	// can use costs memory and idle time. A directory keeps the number for good.
	workers = 2
	// writeBuffer is taken 16 times. A command that is larger gets its own.
	writeBuffer = 64 << 10
)

// shardConfig is for every shard alike.
func shardConfig(cfg Config, shard int) config.Config {
	return config.Config{ReplicaID: replicaID, ShardID: raftShard(shard), ElectionRTT: 5, HeartbeatRTT: 1,
		CheckQuorum: true, SnapshotEntries: uint64(cfg.SnapshotEntries), CompactionOverhead: uint64(cfg.SnapshotEntries / 8)}
}

// closeHost stops dragonboat.
func closeHost(h *dragonboat.NodeHost) error {
	return unpanicked(func() error { h.Close(); return nil })
}

// unpanicked calls f and returns a panic as an error: that is how dragonboat
// reports a log it cannot read.
func unpanicked(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("raft: %v", r)
		}
	}()
	return f()
}

// address is what a node is called in Raft. A node alone needs only a name.
func address(cfg Config) string {
	if cfg.RaftAddress == "" {
		return aloneAddress
	}
	return cfg.RaftAddress
}

const aloneAddress = "alone"

// alone is the transport of a node that has no others: it listens nowhere.
type alone struct{}

var errAlone = errors.New("this node is alone")

func (alone) Create(config.NodeHostConfig, raftio.MessageHandler, raftio.ChunkHandler) raftio.ITransport {
	return alone{}
}
func (alone) Validate(addr string) bool { return addr == aloneAddress }
func (alone) Name() string              { return "alone" }
func (alone) Start() error              { return nil }
func (alone) Close() error              { return nil }

func (alone) GetConnection(context.Context, string) (raftio.IConnection, error) { return nil, errAlone }

func (alone) GetSnapshotConnection(context.Context, string) (raftio.ISnapshotConnection, error) {
	return nil, errAlone
}

// frugalFS keeps tan from preallocating 64 MiB for each shard's log, which it
// does where it can see that a file is an *os.File.
type frugalFS struct{ vfs.FS }

func (f frugalFS) Create(name string) (vfs.File, error) {
	file, err := f.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return struct{ vfs.File }{file}, nil
}
