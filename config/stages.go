package config

import "github.com/sluicemq/sluice/stages/batch"

// Stages has the limits of each stage of the pipelines, in their order.
type Stages struct {
	// Depth of each lane, and the number of lanes. Each partition belongs to one lane; more
	// lanes than cores bring nothing.
	Sequence Lanes `toml:"sequence" live:"write/sequence" default:"depth=64"`
	// Combines requests into writes (group commit).
	Batch Batch `toml:"batch" live:"write/batch" default:"depth=256"`
	// Writes that queue for the log, in addition to those in flight.
	WAL Queue `toml:"wal" live:"write/wal" default:"depth=4"`
	// Writes on disk that wait to be put into the write cache and reported to the replicas of
	// their partitions.
	Publish Queue `toml:"publish" live:"write/publish" default:"depth=16"`
	// Finds where the records of a fetch are.
	Locate Workers `toml:"locate" live:"read/locate" default:"depth=64,workers=2"`
	// Reads from the write cache.
	ReadHot Workers `toml:"read_cache" live:"read/cache" default:"depth=64,workers=2"`
	// Reads from the WAL; workers is the number of concurrent disk reads.
	WALRead Workers `toml:"walread" live:"read/walread" default:"depth=16,workers=4"`
	// Reads from the read cache.
	ReadCold Workers `toml:"readcache" live:"read/readcache" default:"depth=16,workers=2"`
	// Reads from the object store; workers is the number of concurrent requests.
	ObjectFetch Workers `toml:"objectfetch" live:"read/objectfetch" default:"depth=16,workers=8"`
	// Trims responses to the requested size.
	Trim Workers `toml:"trim" live:"read/trim" default:"depth=64,workers=2"`
}

// Queue bounds what waits before a stage, in parcels.
type Queue struct {
	Depth int `toml:"depth" range:"1..64Ki" live:"."`
}

// Lanes is a stage in which each partition has its lane.
type Lanes struct {
	Queue
	Workers int `toml:"workers" default:"4" range:"1..1024"`
}

// Workers is a stage with any number of workers, each a goroutine that is there at once.
type Workers struct {
	Queue
	Workers int `toml:"workers" range:"1..1024" live:"."`
}

// Batch is the stage that makes writes.
type Batch struct {
	Queue
	batch.Config
}
