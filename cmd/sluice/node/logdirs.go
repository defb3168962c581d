package node

import (
	"math"
	"net/url"
	"path/filepath"

	"github.com/sluicemq/sluice/ingress/kafka"
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/topic"
)

// logDirs tells clients where partitions are stored.
type logDirs struct {
	wal     string
	objects string
	parts   *partitions
}

func newLogDirs(cfg Config, parts *partitions) (*logDirs, error) {
	wal, err := filepath.Abs(cfg.Storage.WALDirectory)
	if err != nil {
		return nil, err
	}
	store, err := url.Parse(cfg.Storage.ObjectURL)
	if err != nil {
		return nil, err
	}
	place := url.URL{Scheme: store.Scheme, Host: store.Host, Path: store.Path, Opaque: store.Opaque} // without credentials and parameters
	return &logDirs{wal, place.String(), parts}, nil
}

func (d *logDirs) LogDirs() (wal, objects kafka.LogDir) {
	wal, objects = kafka.LogDir{Name: d.wal, Total: -1, Usable: -1}, kafka.LogDir{Name: d.objects, Total: -1, Usable: -1}
	if n, err := blockfs.TotalBytes(d.wal); err == nil && n > 0 {
		wal.Total = n
	}
	if n, err := blockfs.FreeBytes(d.wal); err == nil {
		wal.Usable = n
	}
	return wal, objects
}

func (d *logDirs) WALBytes(p topic.Partition) int64 {
	s, ok := d.parts.table.Loaded(p)
	if !ok {
		return 0
	}
	bytes, _ := s.Tail.Sum(0, math.MaxInt64)
	return bytes
}
