package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/stages/wal"
)

// The metadata records the WAL of each broker, and the guard next to the WAL knows how far it
// has got. A broker whose WAL is missing, belongs to another broker, or ends too early refuses
// to start, since only an operator can decide whether the lost data may be given up.

// walWords adds advice to the error of a refused WAL.
func walWords(err error, directory string) error {
	switch {
	case errors.Is(err, wal.ErrForeign):
		return fmt.Errorf("the WAL in %s: %w; restore the metadata or the WAL that belong together, or start once with --accept-lost-wal, which moves this WAL aside and starts a new one", directory, err)
	case errors.Is(err, wal.ErrLost):
		return fmt.Errorf("the WAL in %s: %w; restore its files, or start once with --accept-lost-wal to continue without what is lost: `sluice wal salvage` exports what is left", directory, err)
	}
	return fmt.Errorf("recover the WAL in %s: %w; `sluice wal verify` shows its state", directory, err)
}

// checkTaken fails if the broker's WAL is not the one that the metadata records for its ID: then the ID
// may be that of another broker, which registering would fence although it is well. What cannot be
// read is left to recovery.
func (n *node) checkTaken(ctx context.Context) error {
	id, recorded := n.cluster.View().WAL(n.cfg.Settings.Broker.ID)
	if !recorded || n.cfg.Storage.AcceptLostWAL {
		return nil
	}
	directory, record, have := n.cfg.Storage.WALDirectory, uuid.UUID(id), uuid.Nil
	empty, err := emptyDirectory(directory)
	if err != nil {
		return fmt.Errorf("WAL directory: %w", err)
	}
	if !empty {
		dir, err := blockfs.OpenDir(directory, blockfs.Options{ReadOnly: true}, n.log)
		if err != nil {
			return fmt.Errorf("WAL directory: %w", err)
		}
		have, err = wal.Identify(ctx, dir)
		if closed := dir.Close(); err != nil || closed != nil {
			return closed
		}
	}
	if have == record {
		return nil
	}
	err = fmt.Errorf("%w: it is log %s, the metadata records %s", wal.ErrForeign, have, record)
	if have == uuid.Nil {
		err = fmt.Errorf("%w: the metadata records log %s, but there is none", wal.ErrLost, record)
	}
	return fmt.Errorf("broker ID %d is taken: if another broker has it, set another broker.id; if this is the same broker, %w", n.cfg.Settings.Broker.ID, walWords(err, directory))
}

// openWAL opens the WAL and its guard without reading them.
func (s *storage) openWAL(ctx context.Context, cfg Config, broker int32, log *slog.Logger, reg prometheus.Registerer) (err error) {
	id, _ := s.meta.View().WAL(broker)
	record, process := uuid.UUID(id), uuid.UUID(s.meta.View().WALStart(broker))
	owner := &process
	if cfg.Storage.AcceptLostMetadata {
		owner = nil
	}
	if cfg.Storage.AcceptLostWAL {
		if err := setForeignAside(ctx, cfg, record, log); err != nil {
			return err
		}
	}
	if s.newWAL, err = emptyDirectory(cfg.Storage.WALDirectory); err != nil {
		return fmt.Errorf("WAL directory: %w", err)
	}
	if s.dir, err = blockfs.OpenDir(cfg.Storage.WALDirectory, cfg.Settings.WAL.Disk, log); err != nil {
		return fmt.Errorf("WAL directory: %w", err)
	}
	if err := roomForSegments(cfg); err != nil {
		return err
	}
	guard := cfg.Settings.WAL.Disk
	guard.MinFreeBytes = 0 // only 8 KiB, and must not depend on free disk space
	if s.guard, err = blockfs.OpenDir(cfg.Storage.WALGuard, guard, log); err != nil {
		return fmt.Errorf("directory of the WAL's guard: %w", err)
	}
	s.log, err = wal.Open(s.dir, cfg.Settings.WAL.Config, wal.Deps{Pool: s.pool, Done: s.parts.done, Guard: s.guard, OnRecord: &record, Owner: owner,
		AcceptLost: cfg.Storage.AcceptLostWAL, GivingBack: s.meta.Attest, Rate: s.rateOfUploads(cfg), Logger: log, Registry: reg})
	if err != nil {
		return walWords(err, cfg.Storage.WALDirectory)
	}
	return nil
}

// rateOfUploads returns the rate to which the WAL throttles writes so that uploads can keep up, or
// nil if the objects are on another disk. There is no throttling while the object store's own limit
// is configured: uploads are then slower than the disk anyway, and writers need not wait for them.
func (s *storage) rateOfUploads(cfg Config) func(partition.Position) float64 {
	dir := s.objects.Directory()
	if dir == "" {
		return nil
	}
	if same, err := blockfs.SameDisk(dir, cfg.Storage.WALDirectory); err != nil || !same {
		return nil // uploads have a disk of their own
	}
	return func(end partition.Position) float64 {
		if s.objects.Limited() {
			return 0
		}
		return s.ledger.Rate(end) // the ledger exists once the log runs
	}
}

// roomForSegments fails if no segment could ever be created, even on an empty disk.
func roomForSegments(cfg Config) error {
	total, err := blockfs.TotalBytes(cfg.Storage.WALDirectory)
	if err != nil {
		return fmt.Errorf("WAL directory: %w", err)
	}
	if least := cfg.Settings.WAL.Disk.MinFreeBytes + cfg.Settings.WAL.Config.SegmentSizeBytes; total > 0 && least > total {
		return fmt.Errorf("wal.min_free_bytes (%d) and a segment of wal.segment_size_bytes (%d) do not fit on the disk of %s, which has %d bytes in total; lower one of them, or set wal.directory to a larger disk",
			cfg.Settings.WAL.Disk.MinFreeBytes, cfg.Settings.WAL.Config.SegmentSizeBytes, cfg.Storage.WALDirectory, total)
	}
	return nil
}

// recordWAL records the WAL that is written from now on, and that this process owns it.
func (s *storage) recordWAL(ctx context.Context, broker int32) error {
	if id, ok := s.meta.View().WAL(broker); !ok || uuid.UUID(id) != s.log.ID() {
		if err := s.meta.RecordWAL(ctx, meta.WAL{Broker: broker, ID: s.log.ID()}); err != nil {
			return err
		}
	}
	process := uuid.New()
	return s.log.TakeOver(process, func() error {
		return s.meta.RecordWALStart(ctx, meta.WALStart{Broker: broker, Process: process})
	})
}

// setForeignAside moves a WAL that is not the one recorded in the metadata, and its guard, out of
// the way.
func setForeignAside(ctx context.Context, cfg Config, record uuid.UUID, log *slog.Logger) error {
	if empty, err := emptyDirectory(cfg.Storage.WALDirectory); empty || err != nil {
		return err
	}
	dir, err := blockfs.OpenDir(cfg.Storage.WALDirectory, blockfs.Options{ReadOnly: true}, log)
	if err != nil {
		return fmt.Errorf("WAL directory: %w", err)
	}
	id, err := wal.Identify(ctx, dir)
	if err := errors.Join(err, dir.Close()); err != nil {
		return fmt.Errorf("WAL directory: %w", err)
	}
	if id == record || id == uuid.Nil {
		return nil
	}
	suffix := ".aside-" + time.Now().UTC().Format("20060102T150405")
	for _, directory := range []string{cfg.Storage.WALDirectory, cfg.Storage.WALGuard} {
		if err := os.Rename(directory, directory+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("move %s aside: %w", directory, err)
		}
	}
	log.Error("the WAL is not the recorded one; it was moved aside, and `sluice wal salvage` exports its contents", "directory", cfg.Storage.WALDirectory+suffix)
	return nil
}
