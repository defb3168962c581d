package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/objectstore"
)

// The store holds two ownership marks, so that two clusters, or two processes of one broker,
// never share a store unnoticed, and a broker that was restored from an old copy, or has a
// different bucket than before, does not silently continue. docs/formats/object.md has their
// contents.

const (
	clusterMark = "owner/cluster"
	markVersion = 2
	markBytes   = 4096 // maximum
	markPause   = 30 * time.Second
	markReads   = 3 // of a damaged mark, in case only the response was damaged
	rereadPause = 200 * time.Millisecond
)

func brokerMark(broker int32) string { return fmt.Sprintf("owner/broker-%d", broker) }

var (
	// errOwner means that the store belongs to another owner, or is not the one it was.
	errOwner = errors.New("the object store does not belong to this broker")
	// errMark means that the store's response is not a mark, and says nothing about the owner.
	errMark = errors.New("the ownership mark of the object store is damaged, or something else answers in its place")
	// errStale means that a claimed store no longer has its mark.
	errStale = errors.New("the ownership mark of the object store is missing: is it the right store, and is it mounted?")
)

// mark is an ownership mark. That of a cluster only has its id.
type mark struct {
	Version     int       `json:"version"`
	Cluster     string    `json:"cluster"`
	Broker      *int32    `json:"broker,omitempty"`
	WAL         uuid.UUID `json:"wal,omitzero"`
	Incarnation uint64    `json:"incarnation,omitempty"` // of the process start
	Process     uuid.UUID `json:"process,omitzero"`
}

// claims is the metadata, which records the last claim of each broker.
type claims interface {
	views
	RecordClaim(ctx context.Context, c meta.Claim) error
}

// owner claims the store, and prevents changes by non-owners.
type owner struct {
	store   *objectstore.Store
	meta    claims
	mine    mark
	accept  bool // whatever the store contains
	logger  *slog.Logger
	refused chan struct{} // closed when err is set
	doubt   atomic.Bool   // the last check did not find the mark

	mu      sync.Mutex
	claimed bool
	err     error // permanent
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

// ensure claims the store unless that was done. errOwner is permanent; other errors of the
// store are temporary.
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

// refuse prevents all changes. Holds mu.
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
	m, found, err := o.accepted(o.read(ctx, key))
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

// expected reports whether m is the mark that the last recorded claim found or was about to
// write. The start number would not do: refused starts count too, so a broker that is restarted
// again and again would get past any mark.
func (o *owner) expected(m mark) bool {
	last, ok := o.meta.View().Claim(*o.mine.Broker)
	return ok && (m.Process == last.Process || m.Process == last.Found)
}

// record records the claim before the mark is written, so that a crash in between leaves a mark
// that the next start expects.
func (o *owner) record(ctx context.Context, found uuid.UUID) error {
	c := meta.Claim{Broker: *o.mine.Broker, Found: found, Process: o.mine.Process}
	if last, ok := o.meta.View().Claim(c.Broker); ok && last == c {
		return nil
	}
	return o.meta.RecordClaim(ctx, c)
}

// claimCluster checks that the store belongs to this cluster, or is unclaimed.
func (o *owner) claimCluster(ctx context.Context) error {
	m, found, err := o.accepted(o.read(ctx, clusterMark))
	switch {
	case err != nil:
		return err
	case found && m.Cluster == o.mine.Cluster:
		return nil
	case found && !o.accept:
		return fmt.Errorf("%w: it is in use by the cluster %s, and this is %s", errOwner, m.Cluster, o.mine.Cluster)
	case !found && o.named() && !o.accept:
		return fmt.Errorf("%w: it has no ownership mark, although the metadata refers to objects in it: is it the right bucket or directory?", errOwner)
	}
	return o.write(ctx, clusterMark, mark{Version: markVersion, Cluster: o.mine.Cluster}, found)
}

// named reports whether the metadata refers to any object.
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

// accepted ignores an unreadable mark if the store is to be taken over.
func (o *owner) accepted(m mark, found bool, err error) (mark, bool, error) {
	if o.accept && (errors.Is(err, errMark) || errors.Is(err, errOwner)) {
		return mark{}, true, nil
	}
	return m, found, err
}

// read returns an intact mark. errMark means that the object is not one.
func (o *owner) read(ctx context.Context, key string) (m mark, found bool, err error) {
	for n := 1; ; n++ {
		m, found, err = o.readOnce(ctx, key)
		if !errors.Is(err, errMark) || n == markReads {
			return m, found, err
		}
		select {
		case <-time.After(rereadPause):
		case <-ctx.Done():
			return m, false, ctx.Err()
		}
	}
}

// StoreCluster returns the id of the cluster that owns a store, or "" if the store has no cluster
// mark.
func StoreCluster(ctx context.Context, s *objectstore.Store) (string, error) {
	m, _, err := (&owner{store: s}).read(ctx, clusterMark)
	return m.Cluster, err
}

func (o *owner) readOnce(ctx context.Context, key string) (m mark, found bool, err error) {
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
	m, err = decodeMark(b)
	if err != nil {
		err = fmt.Errorf("%w (%s)", err, key)
	}
	return m, true, err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode encodes m: a line of JSON and a line with its checksum.
func (m mark) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	b = append(b, '\n')
	return fmt.Appendf(b, "crc32c %08x\n", crc32.Checksum(b, castagnoli)), nil
}

func decodeMark(b []byte) (m mark, err error) {
	line, sum, _ := bytes.Cut(b, []byte("\n"))
	if len(sum) == 0 && json.Unmarshal(line, &m) == nil && m.Version > 0 && m.Version < markVersion {
		return m, fmt.Errorf("%w: its mark has version %d, this broker knows version %d", errOwner, m.Version, markVersion)
	}
	if want := fmt.Sprintf("crc32c %08x\n", crc32.Checksum(b[:min(len(line)+1, len(b))], castagnoli)); string(sum) != want {
		return m, errMark
	}
	switch err := json.Unmarshal(line, &m); {
	case err != nil:
		return m, fmt.Errorf("%w: %w", errMark, err)
	case m.Version != markVersion:
		return m, fmt.Errorf("%w: its mark has version %d, this broker knows version %d", errOwner, m.Version, markVersion)
	}
	return m, nil
}

// write creates or replaces a mark. If two processes do so at once, one finds the other's.
func (o *owner) write(ctx context.Context, key string, m mark, there bool) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	if there {
		if err := o.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	err = o.store.Put(ctx, key, bytes.NewReader(b))
	if errors.Is(err, objectstore.ErrExists) {
		return fmt.Errorf("%w: another process has just claimed it (%s)", errOwner, key)
	}
	return err
}

// watch claims the store once it is reachable, and checks periodically that this process still
// owns it, until ctx is done.
func (o *owner) watch(ctx context.Context) {
	tick := time.NewTicker(markPause)
	defer tick.Stop()
	for {
		if o.ensure(ctx) == nil {
			if err := o.confirm(ctx); errors.Is(err, errStale) || errors.Is(err, errMark) {
				o.logger.Error("no uploads until the ownership mark of the object store is back; records stay in the WAL", "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-o.refused:
			o.logger.Error("another process uses the object store; the broker stops", "err", o.err)
			return
		case <-ctx.Done():
			return
		}
	}
}

// confirm returns nil if this process owns the store. It refuses everything from now on if
// another process has claimed it, which only an intact mark proves.
func (o *owner) confirm(ctx context.Context) error {
	err := o.look(ctx)
	o.doubt.Store(err != nil)
	return err
}

func (o *owner) look(ctx context.Context) error {
	m, found, err := o.read(ctx, brokerMark(*o.mine.Broker))
	switch {
	case errors.Is(err, errOwner), err == nil && found && m.Process != o.mine.Process:
		o.mu.Lock()
		defer o.mu.Unlock()
		o.refuse(fmt.Errorf("%w: another process of broker %d has claimed it", errOwner, *o.mine.Broker))
		return o.err
	case err == nil && !found:
		return errStale
	}
	return err
}

// ownedStore allows changes to a store only once this process owns it.
type ownedStore struct {
	*objectstore.Store
	owner *owner
}

func (s *ownedStore) PutSized(ctx context.Context, key string, size int64, open func() io.ReadCloser) error {
	return s.put(ctx, key, func() error { return s.Store.PutSized(ctx, key, size, open) })
}

func (s *ownedStore) Put(ctx context.Context, key string, r io.Reader) error {
	return s.put(ctx, key, func() error { return s.Store.Put(ctx, key, r) })
}

// put writes an object and makes sure that it is in the claimed store: an unmounted volume
// leaves an empty directory, and a name may lead to another bucket. The mark is checked first,
// so that an object found afterwards was not written while the store was another.
func (s *ownedStore) put(ctx context.Context, key string, write func() error) error {
	if err := s.owner.ensure(ctx); err != nil {
		return err
	}
	if s.owner.doubt.Load() { // do not write to a store that may belong to others
		if err := s.owner.confirm(ctx); err != nil {
			return err
		}
	}
	if err := write(); err != nil {
		return err
	}
	if err := s.owner.confirm(ctx); err != nil {
		return err
	}
	if _, err := s.Size(ctx, key); err != nil {
		return fmt.Errorf("look for what was just written: %w", err)
	}
	return nil
}

func (s *ownedStore) Delete(ctx context.Context, key string) error {
	if err := s.owner.ensure(ctx); err != nil {
		return err
	}
	if err := s.Store.Delete(ctx, key); err != nil {
		return err
	}
	return s.owner.confirm(ctx) // it would be missing in another store too
}

// checkTime limits how long a start waits for the object store.
const checkTime = 10 * time.Second

// claimStore claims the store, then writes and reads an object: nothing is written to a store
// of another owner. A refusal is permanent; an unreachable store may come back and is claimed
// then, while the WAL keeps the data.
func (s *storage) claimStore(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := s.owned.owner.ensure(bounded)
	if err == nil {
		err = s.objects.Check(bounded)
	}
	switch {
	case errors.Is(err, errMark):
		return fmt.Errorf("%w; check what answers at object_storage.url, such as a proxy; if the store is the right one and the mark itself is damaged, start once with --accept-other-store to rewrite it", err)
	case errors.Is(err, errOwner):
		return fmt.Errorf("%w; restore the data directory that belongs to it, correct object_storage.url, stop the other process, or start once with --accept-other-store to take it over", err)
	case errors.Is(err, objectstore.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		s.logger.Warn("the object store does not answer; records stay in the WAL until it does", "err", err)
		return nil
	}
	return err
}
