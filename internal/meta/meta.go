package meta

import (
	"iter"
	"sort"

	"github.com/google/uuid"
	"github.com/sluicemq/sluice/internal/topic"
)

// ObjectID identifies a stored object; object keys are derived from it.
type ObjectID [16]byte

// NewObjectID returns a random ID.
func NewObjectID() ObjectID { return ObjectID(uuid.New()) }

// String returns the UUID form.
func (id ObjectID) String() string { return uuid.UUID(id).String() }

// Garbage is an object that nothing refers to, now or later.
type Garbage struct {
	ID ObjectID
	// Final means that no PUT of the object can be in flight any more. An object
	// deleted before that is listed again later, since it may have come back.
	Final bool
}

// WAL is the write-ahead log of a broker.
type WAL struct {
	Broker int32
	ID     [16]byte
}

// WALStart is the process of a broker that last took over its log. The log's
// guard records it too: if they differ, one of the two is an older copy.
type WALStart struct {
	Broker  int32
	Process [16]byte
}

// Claim records that a process of a broker was about to put its mark into the
// object store, replacing the mark of the process Found (zero: none). So the mark
// is one of the two, unless somebody else has claimed the store since, or the
// metadata is an old copy.
type Claim struct {
	Broker         int32
	Found, Process [16]byte
}

// ObjectRef says that an object holds one partition's records [Base, End).
type ObjectRef struct {
	ID           ObjectID
	Base, End    int64
	Bytes        int64 // of this partition's range in the object
	MaxTimestamp int64 // ms since epoch, over this range
	WrittenMs    int64 // when the last of the range was first written to an object, ms since epoch
}

// NewestMs returns the age of the range for retention and the like, in ms since
// epoch: the largest timestamp of its records, but not later than when they were
// written, so that a single future timestamp does not stop retention; or the time
// they were written if no record has a timestamp.
func (r ObjectRef) NewestMs() int64 {
	if r.MaxTimestamp < 0 {
		return r.WrittenMs
	}
	return min(r.MaxTimestamp, r.WrittenMs)
}

// EpochStart is the offset at which a leader epoch began (KIP-101).
type EpochStart struct {
	Epoch int32
	Start int64
}

// EpochsFrom returns the part of epochs, which ascend, that remains in a log
// starting at start. The first is the epoch that start is in.
func EpochsFrom(epochs []EpochStart, start int64) []EpochStart {
	for len(epochs) > 1 && epochs[1].Start <= start {
		epochs = epochs[1:]
	}
	return epochs
}

// Producers is what a partition remembers of idempotent producers, as snapshots
// of package idempotence. Applied in order, the sections and then Recent, they
// are the state of the log up to the partition's TierEnd.
type Producers struct {
	Sections []ProducerSection // oldest first
	Recent   []byte            // at most MaxRecent
}

// MaxRecent bounds the snapshot that is kept in the partition's record.
const MaxRecent = 2 << 10

// ProducerSection is the location of a snapshot in an object.
type ProducerSection struct {
	Object         ObjectID
	Offset, Length int64 // bytes
	CRC            uint32
	End            int64 // the snapshot covers the log up to this offset
	NewestMs       int64 // time of the most recent append
	IDs            int32 // number of producers
	// FirstID and LastID are the lowest and the highest producer ID in it.
	FirstID, LastID int64
}

// Partition is the metadata of one partition.
type Partition struct {
	Leader   int32
	Epoch    int32 // leader epoch
	Version  int32 // incremented by each change of who leads, replicates or is in sync
	Replicas []int32
	ISR      []int32
	ELR      []int32 // eligible leader replicas (KIP-966)
	MinISR   int     // min.insync.replicas, at most the number of replicas
	// Adding and Removing are the replicas that a move in progress adds and removes (KIP-455).
	// Replicas has both.
	Adding    []int32
	Removing  []int32
	LogStart  int64        // first offset that may be read
	TierEnd   int64        // everything below is in objects
	Objects   []ObjectRef  // sorted by Base, contiguous from the first to TierEnd
	Epochs    []EpochStart // of offsets from LogStart to below TierEnd
	Producers Producers    // as of TierEnd
	// CleanEnd is how far compaction by key has got: no two records below it have
	// the same key, apart from those that it had to keep.
	CleanEnd int64
	// Offline means that the record of this partition cannot be read, because its
	// metadata shard is damaged. Only Replicas is known; there is no leader, and
	// nothing that belongs to the partition may be deleted.
	Offline bool
}

// ObjectAt returns the index in p.Objects of the object that holds offset.
func (p *Partition) ObjectAt(offset int64) (int, bool) {
	i := sort.Search(len(p.Objects), func(i int) bool { return p.Objects[i].End > offset })
	return i, i < len(p.Objects) && p.Objects[i].Base <= offset
}

// Topic is the metadata of one topic.
type Topic struct {
	Name       string
	ID         topic.ID
	Internal   bool
	Configs    map[string]string // only what was set explicitly; see topic configs for defaults
	Partitions []*Partition
}

// View is one consistent snapshot of the cluster's metadata.
type View struct {
	Version    uint64
	ClusterID  string
	Controller int32 // broker ID reported to clients as controller
	Brokers    []Broker
	WALs       []WAL                 // by broker; of those that have one
	Starts     []WALStart            // by broker; of those that have taken over a log
	Claims     []Claim               // by broker; of those that have claimed the object store
	Deleted    map[topic.ID]struct{} // topics whose deletion is on record
	// Coordinators and Sessions are by metadata shard, from 0.
	Coordinators []Coordinator
	Sessions     []Sessions
	Throttles    []Throttle // by broker; of those that have reported
	Controllers  []Controller
	Feature      int32 // level of the formats and rules that all processes of the cluster know
	topics       *topics
}

// WAL returns the recorded log of a broker.
func (v *View) WAL(broker int32) (id [16]byte, ok bool) {
	for _, w := range v.WALs {
		if w.Broker == broker {
			return w.ID, true
		}
	}
	return id, false
}

// WALStart returns the recorded process that last took over a broker's log, or
// zero.
func (v *View) WALStart(broker int32) (process [16]byte) {
	for _, s := range v.Starts {
		if s.Broker == broker {
			return s.Process
		}
	}
	return process
}

// Claim returns the last recorded claim of a broker.
func (v *View) Claim(broker int32) (c Claim, ok bool) {
	for _, c := range v.Claims {
		if c.Broker == broker {
			return c, true
		}
	}
	return c, false
}

// NewView returns a view of these topics. It keeps the slices given.
func NewView(version uint64, clusterID string, controller int32, brokers []Broker, all []*Topic) *View {
	return &View{Version: version, ClusterID: clusterID, Controller: controller, Brokers: brokers, topics: new(topics).with(all, nil)}
}

// Next returns the view that follows v, in which some topics are put, in place of those with
// the same ID, and others are removed. It costs what changes, not what there is. The caller may
// set the other fields before it publishes the view.
func (v *View) Next(put []*Topic, removed []topic.ID) *View {
	next := *v
	next.Version++
	if len(put)+len(removed) > 0 {
		next.topics = v.topics.with(put, removed)
	}
	return &next
}

// ChangedFrom yields each topic that is not the same in an earlier view: as it was, nil if it
// was not there, and as it is, nil if it is gone. For views that follow each other it costs
// what has changed.
func (v *View) ChangedFrom(earlier *View) iter.Seq2[*Topic, *Topic] {
	return v.topics.changedFrom(earlier.topics)
}

// TopicByName returns the topic with that name.
func (v *View) TopicByName(name string) (*Topic, bool) {
	return v.topics.byName.get(bucketOfName(name), name)
}

// TopicByID returns the topic with that id.
func (v *View) TopicByID(id topic.ID) (*Topic, bool) { return v.topics.byID.get(bucketOfID(id), id) }

// Topics returns all topics sorted by name.
func (v *View) Topics() []*Topic {
	out := make([]*Topic, 0, v.topics.n)
	for t := range v.topics.all() {
		out = append(out, t)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// TopicCount returns how many topics there are, and how many partitions the one with most has.
func (v *View) TopicCount() (topics, partitions int) {
	for t := range v.topics.all() {
		partitions = max(partitions, len(t.Partitions))
	}
	return v.topics.n, partitions
}

// Size returns the number of topics.
func (v *View) Size() int { return v.topics.n }

// Partition returns the metadata of one partition.
func (v *View) Partition(p topic.Partition) (*Partition, bool) {
	t, ok := v.TopicByID(p.Topic)
	if !ok || p.Index < 0 || int(p.Index) >= len(t.Partitions) {
		return nil, false
	}
	return t.Partitions[p.Index], true
}
