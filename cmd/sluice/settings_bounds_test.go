package main

import (
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/config"
)

// What the check of a file calls right the parts take: no number of any setting slips past
// its bounds and becomes another one on its way, such as a negative time.
func TestEveryNumberIsRefusedByItsKeyOrTaken(t *testing.T) {
	base := config.DefaultBroker()
	base.Broker.DataDirectory = t.TempDir()
	for k := range config.Keys(base) {
		if !reflect.ValueOf(k.Value).CanInt() {
			continue
		}
		for _, n := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt32, 1 << 40, math.MaxInt64/int64(time.Millisecond) + 1, math.MaxInt64} {
			c := base
			setting(t, &c, k.Name).SetInt(n)
			if err := c.Validate(); err != nil {
				if !strings.Contains(err.Error(), k.Name) {
					t.Errorf("%s = %d: refused without its key: %v", k.Name, n, err)
				}
				continue
			}
			if n == math.MaxInt64 || n == math.MinInt64 {
				t.Errorf("%s = %d: no bound", k.Name, n)
			}
			taken(t, k.Name, n, c)
		}
	}
}

// taken fails if the parts do not take settings, or see a negative number in them.
func taken(t *testing.T, key string, n int64, c config.Broker) {
	t.Helper()
	cfg, err := nodeConfig(c)
	if err != nil {
		t.Errorf("%s = %d: config accepts it and the parts do not: %v", key, n, err)
	}
	negative(reflect.ValueOf(cfg), "", func(field string) { t.Errorf("%s = %d: %s is negative", key, n, field) })
}

// negative finds the negative numbers in v, a struct.
func negative(v reflect.Value, path string, found func(field string)) {
	switch {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			negative(v.Field(i), path+"."+v.Type().Field(i).Name, found)
		}
	case v.CanInt() && v.Int() < 0:
		found(path)
	}
}

// The same for a controller.
func TestEveryNumberOfAControllerIsRefusedByItsKeyOrTaken(t *testing.T) {
	base := config.DefaultController()
	dir := filepath.Join(t.TempDir(), "meta")
	for k := range config.Keys(base) {
		if !reflect.ValueOf(k.Value).CanInt() {
			continue
		}
		for _, n := range []int64{-1, 0, 1, 1 << 40, math.MaxInt64} {
			c := base
			setting(t, &c, k.Name).SetInt(n)
			if err := c.Validate(); err != nil {
				if !strings.Contains(err.Error(), k.Name) {
					t.Errorf("%s = %d: refused without its key: %v", k.Name, n, err)
				}
				continue
			}
			if err := clusterConfig(c.Metadata, dir).Validate(); err != nil || n == math.MaxInt64 {
				t.Errorf("%s = %d: accepted; the parts say %v", k.Name, n, err)
			}
		}
	}
}
