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
			t.Errorf("%s: was taken", name)
		}
		if s, err := Open(context.Background(), "mem://", WithConfig(c)); err == nil {
			s.Close()
			t.Errorf("%s: was opened", name)
		}
	}
}

func TestTune(t *testing.T) {
	s, err := Open(context.Background(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for key, value := range map[string]int64{TuneUploadBytesPerSecond: 1 << 20, TuneMaxRequests: 7} {
		if err := s.Tune(key, value); err != nil {
			t.Error(err)
		}
		if got := s.Tunables()[key]; got != value {
			t.Errorf("%s is %d after it was set to %d", key, got, value)
		}
	}
	for key, value := range map[string]int64{TuneUploadBytesPerSecond: 1, TuneMaxRequests: 0, "stall": 1} {
		if s.Tune(key, value) == nil {
			t.Errorf("%s was set to %d", key, value)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(context.Background(), "mem://")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Tune(TuneUploadBytesPerSecond, 1<<20); err != nil {
			t.Fatal(err)
		}
		put := func(key string, n int64) time.Duration {
			began := time.Now()
			if err := s.Put(context.Background(), key, io.LimitReader(zeros{}, n)); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		if took := put("a", 10<<20); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("10 MiB at 1 MiB/s took %s", took)
		}
		if err := s.Tune(TuneUploadBytesPerSecond, 0); err != nil {
			t.Fatal(err)
		}
		if took := put("b", 10<<20); took > time.Second {
			t.Errorf("10 MiB without a limit took %s", took)
		}
	})
}
