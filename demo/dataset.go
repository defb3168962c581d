package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed data/earthquakes.geojson.gz
var earthquakes []byte

// dataset is the catalog as records, oldest event first.
type dataset struct {
	title     string
	generated time.Time
	events    []event
	keys      int // distinct keys
	bytes     int // keys and values of one round
}

// event is one earthquake.
type event struct {
	id    string
	key   string // network and region, such as ci/CA
	value []byte // the GeoJSON feature on one line
	time  time.Time
}

// loadDataset parses a gzipped GeoJSON feature collection as published by USGS.
func loadDataset(packed []byte) (*dataset, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("data set: %w", err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("data set: %w", err)
	}
	var feed struct {
		Metadata struct {
			Title     string
			Generated int64 // milliseconds
			Count     int
		}
		Features []json.RawMessage
	}
	if err := json.Unmarshal(plain, &feed); err != nil {
		return nil, fmt.Errorf("data set: %w", err)
	}
	d := &dataset{title: feed.Metadata.Title, generated: time.UnixMilli(feed.Metadata.Generated).UTC()}
	if len(feed.Features) != feed.Metadata.Count || len(feed.Features) == 0 {
		return nil, fmt.Errorf("data set: it names %d events and has %d", feed.Metadata.Count, len(feed.Features))
	}
	for _, f := range feed.Features {
		e, err := newEvent(f)
		if err != nil {
			return nil, fmt.Errorf("data set: %w", err)
		}
		d.events = append(d.events, e)
	}
	slices.SortStableFunc(d.events, func(a, b event) int { return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.id, b.id)) })
	keys := map[string]bool{}
	for _, e := range d.events {
		keys[e.key] = true
		d.bytes += len(e.key) + len(e.value)
	}
	d.keys = len(keys)
	return d, nil
}

func newEvent(feature json.RawMessage) (event, error) {
	var f struct {
		ID         string
		Properties struct {
			Net, Place string
			Time       int64 // milliseconds
		}
	}
	if err := json.Unmarshal(feature, &f); err != nil {
		return event{}, err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, feature); err != nil {
		return event{}, err
	}
	p := f.Properties
	region := p.Place[strings.LastIndex(p.Place, ", ")+1:] // the whole place if there is no comma
	return event{id: f.ID, key: p.Net + "/" + strings.TrimSpace(region), value: line.Bytes(), time: time.UnixMilli(p.Time)}, nil
}
