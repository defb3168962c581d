package record

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write testdata again: stored batches that old builds wrote no longer prove that this one reads them")

// golden returns the batch that is stored for each codec.
func golden(c Codec) *Builder {
	b := NewBuilder()
	b.Codec, b.BaseOffset, b.Epoch, b.ProducerID, b.ProducerEpoch, b.BaseSequence = c, 1_000_000, 3, 4711, 2, 50
	b.Add(1_700_000_000_000, []byte("key"), []byte("value"))
	b.Add(1_699_999_999_000, nil, []byte{}, Header{[]byte("trace"), []byte{0, 1, 2}}, Header{[]byte("empty"), nil})
	b.Add(1_700_000_600_000, []byte{}, nil)
	b.Add(1_700_000_000_001, []byte("long"), bytes.Repeat([]byte("sluice "), 40))
	return b
}

// Stored batches stay readable, and the layout of the header does not change.
func TestGolden(t *testing.T) {
	want, err := collect(build(t, golden(None)), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range codecs {
		checkGolden(t, c.String()+".batch", build(t, golden(c)), want)
	}
	b := golden(Snappy)
	b.Codec = None
	plain := build(t, b)
	framed := append(plain[:HeaderSize:HeaderSize], framed(plain.payload(), 100)...)
	put16(framed, offAttributes, int16(Snappy))
	put32(framed, offLength, int32(len(framed)-offEpoch))
	framed.seal()
	checkGolden(t, "snappy-java.batch", framed, want)
}

func checkGolden(t *testing.T, name string, now Batch, want []Record) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stored := Batch(data)
	if err := deep(produced(stored), Rules{}, 1<<10); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	got, err := collect(stored, 1<<10)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v\ngot  %v\nwant %v", name, err, got, want)
	}
	if now.Codec() == None && !bytes.Equal(stored, now) {
		t.Errorf("%s: this build writes it differently", name)
	}
	a, b := stored.Info(), now.Info() // a codec's output may change with its version
	a.Bytes, a.CRC, b.Bytes, b.CRC = 0, "", 0, ""
	if a != b {
		t.Errorf("%s: stored %+v, this build %+v", name, a, b)
	}
}
