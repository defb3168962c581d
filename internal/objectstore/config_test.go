package objectstore

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"part":        func(c *Config) { c.PartBytes = 1 << 20 },
		"concurrency": func(c *Config) { c.PartConcurrency = 0 },
		"floor":       func(c *Config) { c.MinRequests = 0 },
		"top":         func(c *Config) { c.MaxRequests = c.MinRequests - 1 },
		"bandwidth":   func(c *Config) { c.UploadBytesPerSecond = 1 },
		"attempts":    func(c *Config) { c.Attempts = 0 },
		"pauses":      func(c *Config) { c.LastPause = c.FirstPause - 1 },
		"stall":       func(c *Config) { c.Stall = 0 },
		"missing":     func(c *Config) { c.MissingAttempts = 0 },
	} {
		c := DefaultConfig()
		spoil(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
		if s, err := Open(context.Background(), "mem://", WithConfig(c)); err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		put := func(limit, n int64) time.Duration {
			cfg := DefaultConfig()
			cfg.UploadBytesPerSecond = limit
			s, err := Open(context.Background(), "mem://", WithConfig(cfg))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			began := time.Now()
			if err := s.Put(context.Background(), "a", io.LimitReader(zeros{}, n)); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		if took := put(1<<20, 10<<20); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("10 MiB at 1 MiB/s took %s", took)
		}
		if took := put(0, 10<<20); took > time.Second {
			t.Errorf("10 MiB without a limit took %s", took)
		}
	})
}
