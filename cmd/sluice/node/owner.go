package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/objectstore"
)

// The store has two marks of who owns it, so that two clusters, or two processes of one
// broker, do not work in one store without knowing of each other, and a broker that was put back
// from an old copy, or has another bucket than yesterday, does not go on in silence.
// docs/formats/object.md has their contents.

const (
	clusterMark = "owner/cluster"
	markVersion = 1
	markBytes   = 4096 // at most
	markPause   = 30 * time.Second
)

func brokerMark(broker int32) string { return fmt.Sprintf("owner/broker-%d", broker) }

// errOwner: the store is another's, or is not the one that it was.
var errOwner = errors.New("the object store is not this broker's")

// mark is what a store says of an owner. The one of a cluster has no more than its id.
type mark struct {
	Version     int       `json:"version"`
	Cluster     string    `json:"cluster"`
	Broker      *int32    `json:"broker,omitempty"`
	WAL         uuid.UUID `json:"wal,omitzero"`
	Incarnation uint64    `json:"incarnation,omitempty"` // of the process start
	Process     uuid.UUID `json:"process,omitzero"`
}

// claims is the metadata, with the last claim of each broker on record.
type claims interface {
	views
	RecordClaim(ctx context.Context, c meta.Claim) error
}

// owner claims the store, and keeps those from changing it who may not.
type owner struct {
	store   *objectstore.Store
	meta    claims
	mine    mark
	accept  bool // whatever the store says
	logger  *slog.Logger
	refused chan struct{} // closed when err is set

	mu      sync.Mutex
	claimed bool
	err     error // for good
}

func newOwner(store *objectstore.Store, m claims, broker int32, wal uuid.UUID, accept bool, logger *slog.Logger) *owner {
	view := m.View()
	o := &owner{store: store, meta: m, accept: accept, logger: logger, refused: make(chan struct{}),
		mine: mark{Version: markVersion, Cluster: view.ClusterID, Broker: &broker, WAL: wal, Process: uuid.New()}}
	for _, b := range view.Brokers {
		if b.ID == broker {
			o.mine.Incarnation = b.Incarnation
		}
	}
	return o
}

// ensure claims the store unless that was done. It fails for good with errOwner, and for now with
// what the store says.
func (o *owner) ensure(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.claimed || o.err != nil {
		return o.err
	}
	err := o.claim(ctx)
	switch {
	case err == nil:
		o.claimed = true
	case errors.Is(err, errOwner):
		o.refuse(err)
	}
	return err
}

// refuse ends all changes. Holds mu.
func (o *owner) refuse(err error) {
	if o.err == nil {
		o.err = err
		close(o.refused)
	}
}

func (o *owner) claim(ctx context.Context) error {
	if err := o.claimCluster(ctx); err != nil {
		return err
	}
	key := brokerMark(*o.mine.Broker)
	m, found, err := o.read(ctx, key)
	if err != nil || found && m.Process == o.mine.Process {
		return err
	}
	if found && !o.accept && !o.expected(m) {
		return fmt.Errorf("%w: broker %d of this cluster has used it in a process that this metadata does not know: the data directory is an old copy, or a process with a copy of it runs", errOwner,
			*o.mine.Broker)
	}
	if err := o.record(ctx, m.Process); err != nil {
		return err
	}
	return o.write(ctx, key, o.mine, found)
}

// expected reports whether m is the mark that the last claim on record has found or was about to write.
// The number of the start would not do: each start counts, also one that is refused, so a broker
// that is started again and again would get past any mark.
func (o *owner) expected(m mark) bool {
	last, ok := o.meta.View().Claim(*o.mine.Broker)
	return ok && (m.Process == last.Process || m.Process == last.Found)
}

// record puts the claim on record before the mark is written, so that a death between the two
// leaves a mark that the next start expects.
func (o *owner) record(ctx context.Context, found uuid.UUID) error {
	c := meta.Claim{Broker: *o.mine.Broker, Found: found, Process: o.mine.Process}
	if last, ok := o.meta.View().Claim(c.Broker); ok && last == c {
		return nil
	}
	return o.meta.RecordClaim(ctx, c)
}

// claimCluster checks that the store is this cluster's, or nobody's.
func (o *owner) claimCluster(ctx context.Context) error {
	m, found, err := o.read(ctx, clusterMark)
	switch {
	case err != nil:
		return err
	case found && m.Cluster == o.mine.Cluster:
		return nil
	case found && !o.accept:
		return fmt.Errorf("%w: it is in use by the cluster %s, and this is %s", errOwner, m.Cluster, o.mine.Cluster)
	case !found && o.named() && !o.accept:
		return fmt.Errorf("%w: it has no mark of an owner, though the metadata names objects in it: is it the right bucket or directory?", errOwner)
	}
	return o.write(ctx, clusterMark, mark{Version: markVersion, Cluster: o.mine.Cluster}, found)
}

// named reports whether the metadata names any object.
func (o *owner) named() bool {
	for _, t := range o.meta.View().Topics() {
		for _, p := range t.Partitions {
			if len(p.Objects) > 0 {
				return true
			}
		}
	}
	return false
}

func (o *owner) read(ctx context.Context, key string) (m mark, found bool, err error) {
	n, err := o.store.Size(ctx, key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	b, err := o.store.Object(key).ReadRange(ctx, 0, min(n, markBytes))
	if errors.Is(err, objectstore.ErrNotFound) { // it is being replaced
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	err = json.Unmarshal(b, &m)
	switch {
	case o.accept:
		return m, true, nil
	case err != nil:
		return m, false, fmt.Errorf("%w: its mark %s cannot be read (%w)", errOwner, key, err)
	case m.Version != markVersion:
		return m, false, fmt.Errorf("%w: its mark %s has version %d, this broker knows version %d", errOwner, key, m.Version, markVersion)
	}
	return m, true, nil
}

// write puts a mark in the place of one that is there or not. Two that do so at once are told
// apart: one finds the other's.
func (o *owner) write(ctx context.Context, key string, m mark, there bool) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if there {
		if err := o.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	err = o.store.Put(ctx, key, strings.NewReader(string(b)+"\n"))
	if errors.Is(err, objectstore.ErrExists) {
		return fmt.Errorf("%w: another process has just claimed it (%s)", errOwner, key)
	}
	return err
}

// watch claims the store once it can be reached, and looks from time to time whether it still
// is this process's, until ctx is done.
func (o *owner) watch(ctx context.Context) {
	tick := time.NewTicker(markPause)
	defer tick.Stop()
	for {
		if o.ensure(ctx) == nil {
			o.confirm(ctx)
		}
		select {
		case <-tick.C:
		case <-o.refused:
			o.logger.Error("the object store is used by another; the broker stops", "err", o.err)
			return
		case <-ctx.Done():
			return
		}
	}
}

// confirm refuses everything from now on if another process has claimed the store.
func (o *owner) confirm(ctx context.Context) {
	m, found, err := o.read(ctx, brokerMark(*o.mine.Broker))
	if errors.Is(err, errOwner) || err == nil && found && m.Process != o.mine.Process {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.refuse(fmt.Errorf("%w: another process of broker %d has claimed it", errOwner, *o.mine.Broker))
	}
}

// ownedStore changes a store only once it is this process's.
type ownedStore struct {
	*objectstore.Store
	owner *owner
}

func (s *ownedStore) PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) error {
	if err := s.owner.ensure(ctx); err != nil {
		return err
	}
	return s.Store.PutSized(ctx, key, size, open)
}

func (s *ownedStore) Put(ctx context.Context, key string, r io.Reader) error {
	if err := s.owner.ensure(ctx); err != nil {
		return err
	}
	return s.Store.Put(ctx, key, r)
}

func (s *ownedStore) Delete(ctx context.Context, key string) error {
	if err := s.owner.ensure(ctx); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key)
}

// checkTime bounds how long a start waits for the object store.
const checkTime = 10 * time.Second

// claimStore claims the store, then has it take and give back an object: nothing is written to a store
// that is another's. One that says no will go on saying it; one that cannot be reached may come
// back and is claimed then, and the WAL keeps what it is not there for.
func (s *storage) claimStore(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := s.owned.owner.ensure(bounded)
	if err == nil {
		err = s.objects.Check(bounded)
	}
	switch {
	case errors.Is(err, errOwner):
		return fmt.Errorf("%w; put the data directory back that belongs to it, set object_storage.url right, stop the other one, or start once with --accept-other-store to take it over", err)
	case errors.Is(err, objectstore.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		s.logger.Warn("the object store does not answer; records stay in the WAL until it does", "err", err)
		return nil
	}
	return err
}
