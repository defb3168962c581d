package group

import (
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"negative delay":           func(c *Config) { c.InitialRebalanceDelay = -1 },
		"no session":               func(c *Config) { c.MinSessionTimeout = 0 },
		"sessions the wrong way":   func(c *Config) { c.MaxSessionTimeout = c.MinSessionTimeout - 1 },
		"session of a month":       func(c *Config) { c.MaxSessionTimeout = 30 * 24 * time.Hour },
		"no groups":                func(c *Config) { c.Groups = 0 },
		"no members":               func(c *Config) { c.Members = 0 },
		"no offsets":               func(c *Config) { c.OffsetsPerGroup = 0 },
		"no group bytes":           func(c *Config) { c.GroupBytes = 0 },
		"less for all than one":    func(c *Config) { c.MetadataBytes = int64(c.GroupBytes) - 1 },
		"negative offset metadata": func(c *Config) { c.OffsetMetadataBytes = -1 },
		"no retention":             func(c *Config) { c.OffsetsRetention = 0 },
		"no check":                 func(c *Config) { c.OffsetsCheckInterval = 0 },
		"no write timeout":         func(c *Config) { c.WriteTimeout = 0 },
		"no lanes":                 func(c *Config) { c.Lanes = 0 },
		"no queue":                 func(c *Config) { c.Queue = 0 },
		"no writes":                func(c *Config) { c.Writes = 0 },
	} {
		c := DefaultConfig()
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
