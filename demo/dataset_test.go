package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T) *dataset {
	t.Helper()
	d, err := loadDataset(earthquakes)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The file matches its description in data/SOURCE.md.
func TestDataSetIsTheOneThatIsDocumented(t *testing.T) {
	d := load(t)
	if d.title != "USGS All Earthquakes, Past Week" || len(d.events) != 1707 || d.keys != 85 {
		t.Errorf("%q with %d events and %d keys", d.title, len(d.events), d.keys)
	}
	if want := time.Date(2018, 2, 7, 1, 49, 14, 0, time.UTC); !d.generated.Equal(want) {
		t.Errorf("generated %s, want %s", d.generated, want)
	}
	ids := map[string]bool{}
	for i, e := range d.events {
		if ids[e.id] {
			t.Errorf("event %s twice", e.id)
		}
		ids[e.id] = true
		if i > 0 && e.time.Before(d.events[i-1].time) {
			t.Errorf("event %s is before the one before it", e.id)
		}
		if !json.Valid(e.value) || bytes.IndexByte(e.value, '\n') >= 0 || !strings.Contains(e.key, "/") {
			t.Errorf("event %s: key %q, value %s", e.id, e.key, e.value)
		}
	}
}

func TestKeysAreNetworkAndRegion(t *testing.T) {
	for place, want := range map[string]string{"4km W of Castaic, CA": "ci/CA", "Reykjanes Ridge": "ci/Reykjanes Ridge",
		"5km N of A, B, Chile": "ci/Chile"} {
		e, err := newEvent(json.RawMessage(`{"id":"x", "properties":{"net":"ci","place":"` + place + `","time":1000}}`))
		if err != nil || e.key != want || !e.time.Equal(time.Unix(1, 0)) {
			t.Errorf("%s: key %q at %s, %v", place, e.key, e.time, err)
		}
	}
}

func TestDamagedDataSetsAreRefused(t *testing.T) {
	pack := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(s)) // into memory
		_ = z.Close()
		return b.Bytes()
	}
	for name, b := range map[string][]byte{"nothing": nil, "cut": earthquakes[:len(earthquakes)/2], "no JSON": pack("x"),
		"no events": pack("{}"), "an event is missing": pack(`{"metadata":{"count":2},"features":[{"id":"a"}]}`)} {
		if _, err := loadDataset(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
