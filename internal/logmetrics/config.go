package logmetrics

import "github.com/sluicemq/sluice/internal/setting"

// Config limits the size of a scrape.
type Config struct {
	// How many topics, how many partitions, and how many partitions of consumer groups have metrics
	// of their own, each. The others are summed up under the name *, and counted in
	// sluice_metrics_left_out. More makes larger scrapes, some 0.5 KiB for each, and takes 1 KiB of
	// memory for each partition of a group.
	MaxSeries int `toml:"max_metric_series" default:"2000" range:"0..1000000"`
}

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }
