package quorum

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/sluicemq/sluice/consensus/guard"
	"github.com/sluicemq/sluice/consensus/raftnet"
)

// newIncarnation returns a random number that is not 0.
func newIncarnation() uint32 {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails
		if n := binary.LittleEndian.Uint32(b[:]); n != 0 {
			return n
		}
	}
}

// ErrIdentity means that a directory's identity file is unusable, or of another controller.
var ErrIdentity = errors.New("the directory's identity")

// identityFile says which replicas a directory has. What it says can be derived from the logs and
// the guard, so a damaged one is made anew.
const identityFile = ".controller.json"

const identityVersion = 1

// record is the content of the identity file.
type record struct {
	Version     int              `json:"version"`
	Controller  int32            `json:"controller"`
	Incarnation uint32           `json:"incarnation"`
	Cluster     string           `json:"cluster,omitempty"`  // empty: it belongs to none yet
	Genesis     map[int32]uint32 `json:"genesis,omitempty"`  // incarnations of the first members, if it is one of them
	Replicas    map[int]uint64   `json:"replicas,omitempty"` // of shards that rejoined alone
	Peers       map[int32]string `json:"peers,omitempty"`    // last known addresses
}

// identity is what this controller is in the cluster. Its methods are safe for concurrent use.
type identity struct {
	path string

	mu sync.Mutex
	record
	stored []byte // the file's content; nil: unknown
}

// stored is the file: the record and its CRC-32.
type storedRecord struct {
	Record json.RawMessage `json:"record"`
	Sum    uint32          `json:"crc32"`
}

// loadIdentity returns the identity of a directory; that of a new one has no cluster.
func loadIdentity(cfg Config, logs map[int]uint64) (*identity, error) {
	i := &identity{path: filepath.Join(cfg.Directory, identityFile)}
	err := i.read()
	switch {
	case errors.Is(err, errUnreadable) || errors.Is(err, fs.ErrNotExist):
		i.derive(cfg.ID, logs)
	case err != nil:
		return nil, err
	}
	if i.Controller != cfg.ID && cfg.clustered() { // alone, it does not matter
		return nil, fmt.Errorf("%w: %s has the metadata of controller %d, but this node's id is %d; set the id back, or use another directory",
			ErrIdentity, cfg.Directory, i.Controller, cfg.ID)
	}
	if err := os.MkdirAll(cfg.Directory, 0o700); err != nil {
		return nil, err
	}
	return i, i.change(func(*record) {})
}

var errUnreadable = errors.New("unreadable")

func (i *identity) read() error {
	b, err := os.ReadFile(i.path)
	if err != nil {
		return err
	}
	var s storedRecord
	if err := json.Unmarshal(b, &s); err != nil || crc32.ChecksumIEEE(s.Record) != s.Sum {
		return errUnreadable
	}
	if err := json.Unmarshal(s.Record, &i.record); err != nil {
		return errUnreadable
	}
	i.stored = b
	if i.Version != identityVersion {
		return fmt.Errorf("%w: %s is of version %d, this program knows %d; run the version that wrote it", ErrIdentity, i.path, i.Version, identityVersion)
	}
	return nil
}

// derive makes an identity of the replicas found, or a new one if there are none.
func (i *identity) derive(id int32, logs map[int]uint64) {
	i.record = record{Version: identityVersion, Controller: id, Incarnation: newIncarnation()}
	first, ok := logs[0]
	for shard := 1; !ok && shard <= maxShards; shard++ {
		first, ok = logs[shard]
	}
	if !ok {
		return
	}
	i.Controller, i.Incarnation, i.Cluster = raftnet.ControllerOf(first), uint32(first>>32), unknownCluster
	for shard, replica := range logs {
		if replica != raftnet.Number(i.Incarnation, i.Controller) {
			i.setReplica(shard, replica)
		}
	}
}

// unknownCluster is the name of a cluster whose name was in a lost file.
const unknownCluster = "?"

const maxShards = 64

func (r *record) setReplica(shard int, replica uint64) {
	if r.Replicas == nil {
		r.Replicas = make(map[int]uint64)
	}
	r.Replicas[shard] = replica
}

// change changes the record, durably. A change that makes no difference writes nothing, so that a
// start needs no disk space.
func (i *identity) change(f func(*record)) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(&i.record)
	body, err := json.Marshal(i.record)
	if err != nil {
		return err
	}
	b, err := json.Marshal(storedRecord{Record: body, Sum: crc32.ChecksumIEEE(body)})
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if bytes.Equal(b, i.stored) {
		return nil
	}
	i.stored = nil
	if err := replaceFile(i.path, b); err != nil {
		return err
	}
	i.stored = b
	return nil
}

// replaceFile replaces a file atomically.
func replaceFile(path string, b []byte) error {
	temporary := path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// replica returns this controller's replica of a shard.
func (i *identity) replica(shard int) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r, ok := i.Replicas[shard]; ok {
		return r
	}
	return raftnet.Number(i.Incarnation, i.Controller)
}

// get returns a copy of the record.
func (i *identity) get() record {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.record
	r.Replicas, r.Genesis, r.Peers = maps.Clone(r.Replicas), maps.Clone(r.Genesis), maps.Clone(r.Peers)
	return r
}

// cluster returns the cluster's name, empty if it is not known.
func (i *identity) cluster() string {
	if name := i.get().Cluster; name != unknownCluster {
		return name
	}
	return ""
}

// first reports whether the controller's replica of a shard is one of the first members, and
// returns them.
func (r record) first(shard int) (map[uint64]string, bool) {
	if _, again := r.Replicas[shard]; again || len(r.Genesis) == 0 {
		return nil, false
	}
	members := make(map[uint64]string, len(r.Genesis))
	for id, incarnation := range r.Genesis {
		members[raftnet.Number(incarnation, id)] = raftnet.Target(raftnet.Number(incarnation, id))
	}
	return members, true
}

// replicasOnDisk returns the replica of each shard that has a log or, without one, a mark.
func replicasOnDisk(cfg Config) (map[int]uint64, error) {
	found := make(map[int]uint64)
	if g, err := guard.Open(cfg.guardPath()); err == nil {
		for r := range g.Marks() {
			found[int(r.Shard-raftShard(0))] = r.ID
		}
		if err := g.Close(); err != nil {
			return nil, err
		}
	}
	logs, err := filepath.Glob(filepath.Join(cfg.Directory, "*", "*", "tandb", "node-*"))
	if err != nil {
		return nil, err
	}
	for _, path := range logs {
		var shard, replica uint64
		if _, err := fmt.Sscanf(filepath.Base(path), "node-%d-%d", &shard, &replica); err == nil && shard >= raftShard(0) {
			found[int(shard-raftShard(0))] = replica
		}
	}
	return found, nil
}
