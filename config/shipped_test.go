package config

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestShippedFilesAreRight(t *testing.T) {
	for _, f := range Shipped() {
		t.Run(f.Name, func(t *testing.T) {
			if _, err := f.Parse(); err != nil {
				t.Error(err)
			}
			if got := RoleOf([]byte(f.Text)); got != f.Role {
				t.Errorf("taken for a %s", got)
			}
			found, err := FindShipped(strings.TrimSuffix(f.Name, ".toml"))
			if err != nil || found != f {
				t.Errorf("found %s, %v", found.Name, err)
			}
		})
	}
	if _, err := FindShipped("nothing"); err == nil || !strings.Contains(err.Error(), "example-production") {
		t.Errorf("an unknown name: %v", err)
	}
}

// What Format prints sets every key: parsed over other values it gives the same.
func TestFormatIsReadBack(t *testing.T) {
	c := DefaultBroker()
	c.Broker.Rack, c.Broker.DataDirectory = "a \"quoted\"\track\\", "/somewhere"
	c.WAL.FsyncOnWrite, c.Topics.AutoCreateTopics = false, true
	c.Stages.Batch.Linger, c.Groups.Groups = 7*time.Microsecond, 8
	got, err := ParseBroker("it", []byte(Format(c)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v\nwant %+v", got, c)
	}
	if n := strings.Count(Format(c), " = "); n != count(c) {
		t.Errorf("%d settings printed of %d", n, count(c))
	}
}

func count(c any) (n int) {
	for range Keys(c) {
		n++
	}
	return n
}
