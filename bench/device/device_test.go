package device_test

import (
	"os"
	"testing"
	"time"

	"github.com/sluicemq/sluice/bench/device"
)

func TestMeasure(t *testing.T) {
	dir, err := os.MkdirTemp(".", "probe-") // not /tmp, which may be in memory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	lines, err := device.Measure(dir, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range lines {
		if l.Bytes != device.Sizes[i] || l.Writes == 0 || l.P50 <= 0 || l.P99 < l.P50 || l.MBPerS <= 0 {
			t.Errorf("got %+v", l)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
