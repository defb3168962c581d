package main

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sluicemq/sluice/config"
)

// Parts accept every value that validation of the file accepts: no number of any setting is within
// bounds and still turns into another one, such as a negative duration.
func TestEveryNumberIsRefusedByItsKeyOrTaken(t *testing.T) {
	base := config.DefaultBroker()
	base.Broker.DataDirectory = t.TempDir()
	for k := range config.Keys(base) {
		if _, ok := k.Value.(int64); !ok {
			continue
		}
		for _, n := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt32, 1 << 40, math.MaxInt64/int64(time.Millisecond) + 1, math.MaxInt64} {
			c, err := config.ParseBroker("it", fileWith(base, k.Name, n))
			if refused(t, k.Name, n, err) {
				continue
			}
			cfg, err := nodeConfig(c)
			if err != nil {
				t.Errorf("%s = %d: config accepts it and the parts do not: %v", k.Name, n, err)
			}
			negative(reflect.ValueOf(cfg), "", func(field string) { t.Errorf("%s = %d: %s is negative", k.Name, n, field) })
		}
	}
}

// The same for a controller.
func TestEveryNumberOfAControllerIsRefusedByItsKeyOrTaken(t *testing.T) {
	base := config.DefaultController()
	for k := range config.Keys(base) {
		if _, ok := k.Value.(int64); !ok {
			continue
		}
		for _, n := range []int64{math.MinInt64, -1, 0, 1, 1 << 40, math.MaxInt64} {
			c, err := config.ParseController("it", fileWith(base, k.Name, n))
			if refused(t, k.Name, n, err) {
				continue
			}
			negative(reflect.ValueOf(c), "", func(field string) { t.Errorf("%s = %d: %s is negative", k.Name, n, field) })
		}
	}
}

// fileWith returns a file that sets every key, one of them to n.
func fileWith(c any, key string, n int64) []byte {
	var b strings.Builder
	for k := range config.Keys(c) {
		v := fmt.Sprint(k.Value)
		if s, ok := k.Value.(string); ok {
			v = fmt.Sprintf("%q", s)
		}
		if k.Name == key {
			v = fmt.Sprint(n)
		}
		fmt.Fprintf(&b, "%s = %s\n", k.Name, v)
	}
	return []byte(b.String())
}

// refused reports whether a value is refused. It fails the test if the error does not name the key,
// or if an extreme int64 is accepted.
func refused(t *testing.T, key string, n int64, err error) bool {
	t.Helper()
	switch {
	case err != nil && !strings.Contains(err.Error(), key):
		t.Errorf("%s = %d: refused without its key: %v", key, n, err)
	case err == nil && (n == math.MaxInt64 || n == math.MinInt64):
		t.Errorf("%s = %d: no bound", key, n)
	}
	return err != nil
}

// negative finds negative numbers in v, a struct.
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
