package main

import (
	"encoding/json"
	"io"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// printer returns a function that prints a record.
func (c *cli) printer(o *consumption) (func(io.Writer, *kgo.Record) error, error) {
	if c.json {
		return func(w io.Writer, r *kgo.Record) error { return json.NewEncoder(w).Encode(documentOf(r)) }, nil
	}
	f, err := kgo.NewRecordFormatter(o.format)
	if err != nil {
		return nil, usagef("--format %q: %w", o.format, err)
	}
	var buf []byte
	return func(w io.Writer, r *kgo.Record) error {
		buf = f.AppendRecord(buf[:0], r)
		_, err := w.Write(buf)
		return err
	}, nil
}

// document is a record as JSON. Bytes that are not valid text are in the fields with _base64.
type document struct {
	Topic       string           `json:"topic"`
	Partition   int32            `json:"partition"`
	Offset      int64            `json:"offset"`
	Timestamp   string           `json:"timestamp"`
	Key         *string          `json:"key"`
	KeyBase64   []byte           `json:"key_base64,omitempty"`
	Value       *string          `json:"value"`
	ValueBase64 []byte           `json:"value_base64,omitempty"`
	Headers     []headerDocument `json:"headers,omitempty"`
}

type headerDocument struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

func documentOf(r *kgo.Record) document {
	d := document{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC().Format(time.RFC3339Nano)}
	d.Key, d.KeyBase64 = text(r.Key)
	d.Value, d.ValueBase64 = text(r.Value)
	for _, h := range r.Headers {
		v, raw := text(h.Value)
		d.Headers = append(d.Headers, headerDocument{h.Key, v, raw})
	}
	return d
}

// text returns b as a string, or as bytes if it is not valid text.
func text(b []byte) (*string, []byte) {
	if b == nil {
		return nil, nil
	}
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}
