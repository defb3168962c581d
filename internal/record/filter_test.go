package record

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// A filter leaves exactly the wanted records, with their offsets and timestamps, and the
// batch still covers the same offsets.
func TestFilterKeepsTheWantedRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewBuilder()
		m.BaseOffset, m.Epoch, m.Codec = 1000, 3, Codec(rapid.Int8Range(0, 4).Draw(t, "codec"))
		m.ProducerID, m.ProducerEpoch, m.BaseSequence = 7, 2, 50
		for range rapid.IntRange(1, 12).Draw(t, "records") {
			r := drawRecord(t)
			m.Add(rapid.Int64Range(-1, 1<<40).Draw(t, "time"), r.Key, r.Value, r.Headers...)
		}
		b, err := m.Build()
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "append time") {
			b.SetLogAppendTime(1 << 41)
		}
		was := bytes.Clone(b)
		f := &Filter{MaxUnpacked: 1 << 20}
		for round := range 3 { // also over its own output
			before, err := collect(b, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			var want []Record
			stay := make(map[int64]bool)
			newest := int64(-1)
			for _, r := range before {
				if rapid.IntRange(0, 3).Draw(t, "stays") > 0 {
					want, stay[r.Offset], newest = append(want, r), true, max(newest, r.Timestamp)
				}
			}
			f.Keep, f.DeleteHorizonMs = func(r Record) bool { return stay[r.Offset] }, int64(rapid.IntRange(0, 1).Draw(t, "horizon"))*(1<<42+int64(round))
			horizon, had := b.DeleteHorizon()
			out, kept, err := f.Apply(b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := collect(out, 1<<20)
			if err != nil || kept != len(want) || !reflect.DeepEqual(got, want) {
				t.Fatalf("kept %d: %+v, %v; want %+v", kept, got, err, want)
			}
			if err := out.Verify(); err != nil {
				t.Fatal(err)
			}
			if out.BaseOffset() != b.BaseOffset() || out.NextOffset() != b.NextOffset() || out.PartitionLeaderEpoch() != 3 || out.ProducerID() != 7 ||
				out.ProducerEpoch() != 2 || out.BaseSequence() != 50 || out.LastSequence() != b.LastSequence() || out.LogAppendTime() != b.LogAppendTime() {
				t.Fatalf("the batch covers other offsets: header %x, was %x", out[:HeaderSize], b[:HeaderSize])
			}
			if kept < len(before) && out.MaxTimestamp() != newest {
				t.Fatalf("max timestamp %d, want %d", out.MaxTimestamp(), newest)
			}
			if kept == 0 && len(out) != HeaderSize {
				t.Fatalf("%d bytes without a record", len(out))
			}
			now, has := out.DeleteHorizon()
			switch {
			case had && (!has || now != horizon) && kept > 0:
				t.Fatalf("the horizon %d became %d, %v", horizon, now, has)
			case !had && kept > 0 && (has != (f.DeleteHorizonMs > 0) || has && now != f.DeleteHorizonMs):
				t.Fatalf("the horizon is %d, %v; asked for %d", now, has, f.DeleteHorizonMs)
			}
			if round == 0 && !bytes.Equal(b, was) {
				t.Fatal("the original was modified")
			}
			b = out
		}
	})
}

func TestFilterThatRemovesNothingCopiesNothing(t *testing.T) {
	b := sample(t, Zstd, 5, 10)
	out, kept, err := (&Filter{MaxUnpacked: 1 << 20}).Apply(b)
	if err != nil || kept != 5 || &out[0] != &b[0] {
		t.Errorf("kept %d, %v; the same %v", kept, err, &out[0] == &b[0])
	}
	if _, _, err := (&Filter{MaxUnpacked: 3}).Apply(b); err == nil {
		t.Error("it decompressed more than allowed")
	}
}

// FuzzFilter: a batch that passes Verify is filtered into one that passes Verify and covers
// the same offsets, or is refused with a known error.
func FuzzFilter(f *testing.F) {
	for c := None; c <= Zstd; c++ {
		f.Add([]byte(sample(f, c, 5, 10)), uint8(0b10101), int64(0))
		f.Add([]byte(sample(f, c, 3, 100)), uint8(0b111), int64(77))
	}
	f.Fuzz(func(t *testing.T, data []byte, mask uint8, horizon int64) {
		b, _, err := Next(data)
		if err != nil {
			return
		}
		b = bytes.Clone(b)
		b.seal()
		if b.Verify() != nil {
			return
		}
		i := 0
		keep := func(Record) bool { i++; return mask>>(i%8)&1 == 1 }
		out, kept, err := (&Filter{Keep: keep, DeleteHorizonMs: horizon, MaxUnpacked: 1 << 20}).Apply(b)
		if err != nil {
			if !known(err) {
				t.Fatal(err)
			}
			return
		}
		got, err := collect(out, 1<<20)
		if err != nil || len(got) != kept || out.Verify() != nil || out.BaseOffset() != b.BaseOffset() || out.NextOffset() != b.NextOffset() {
			t.Fatalf("%x became %x: %d of %d records, %v, %v", b, out, len(got), kept, err, out.Verify())
		}
	})
}
