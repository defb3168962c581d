package machine

import (
	"bytes"
	"testing"
)

// FuzzDecode: arbitrary bytes are decoded or refused; a decoded command can be encoded and
// decoded again.
func FuzzDecode(f *testing.F) {
	for _, cmd := range examples() {
		f.Add(Encode(cmd))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		cmd, err := Decode(b)
		if err != nil {
			return
		}
		first := Encode(cmd)
		again, err := Decode(first)
		if err != nil || !bytes.Equal(Encode(again), first) {
			t.Fatalf("%+v was read back as %+v, %v", cmd, again, err)
		}
	})
}

// FuzzRestore does the same with snapshots and results.
func FuzzRestore(f *testing.F) {
	root, shard := NewRoot(), NewShard()
	for _, cmd := range examples() {
		_, _, _ = root.Apply(cmd) // those of the other machine are refused
		_, _, _ = shard.Apply(cmd)
		f.Add(root.Snapshot())
		f.Add(shard.Snapshot())
	}
	f.Add(Result{Code: OK, Number: -5, Parts: []Code{OK, Conflict}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := RestoreRoot(b); err == nil {
			if s, err := RestoreRoot(r.Snapshot()); err != nil || !bytes.Equal(s.Snapshot(), r.Snapshot()) {
				t.Fatalf("root: %v", err)
			}
		}
		if r, err := RestoreShard(b); err == nil {
			if s, err := RestoreShard(r.Snapshot()); err != nil || !bytes.Equal(s.Snapshot(), r.Snapshot()) {
				t.Fatalf("shard: %v", err)
			}
		}
		if r, err := DecodeResult(b); err == nil {
			if s, err := DecodeResult(r.Encode()); err != nil || !bytes.Equal(s.Encode(), r.Encode()) {
				t.Fatalf("result: %v", err)
			}
		}
	})
}
