package peer

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/replication"
	"github.com/sluicemq/sluice/internal/topic"
)

var update = flag.Bool("update", false, "write testdata again: brokers of other builds would no longer understand this one")

var (
	partA = topic.Partition{Topic: topic.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Index: 3}
	partB = topic.Partition{Topic: topic.ID{0xff}, Index: 0x01020304}
)

// examples has a message of each kind, with distinct values in all fields.
func examples() map[string][]byte {
	h := hello{version: 1, least: 1, features: 0, broker: 2, to: 1, incarnation: 0x1122334455667788, window: 8 << 20, cluster: "AbCdEfGhIjKlMnOpQrStUv"}
	items := func(all ...item) []byte {
		f := newFrame()
		for i := range all {
			f.add(&all[i])
		}
		return f.buffers().Materialize()
	}
	f := newFrame()
	f.add(&item{kind: kindRestart, partition: partA, restart: replication.Restart{Epoch: 6, Start: 1000, PrevEpoch: 5}})
	f.addRecords(partA, replication.Records{Epoch: 7, Base: 10, End: 12, PrevEpoch: 6, HighWatermark: 9}, [][]byte{[]byte("batch one "), []byte("batch two ")}, nil)
	f.addRecords(partB, replication.Records{Epoch: 8, Base: 20, End: 20, PrevEpoch: -1, HighWatermark: 20}, nil, nil)
	f.addRecords(partB, replication.Records{Epoch: 8, Base: 20, End: 21, PrevEpoch: 8, HighWatermark: 20}, [][]byte{[]byte("batch three")}, nil)
	return map[string][]byte{
		"hello": h.append(nil),
		"follower": items(item{kind: kindPing, number: 17}, item{kind: kindPong, number: 18}, item{kind: kindCredit, number: 4096},
			item{kind: kindPosition, partition: partA, position: replication.Position{Epoch: 7, End: 12, LastEpoch: 6}},
			item{kind: kindPosition, partition: partB, position: replication.Position{Epoch: 8, End: 0, LastEpoch: -1, Hello: true}}),
		"leader": items(item{kind: kindDivergence, partition: partA, divergence: replication.Divergence{Epoch: 7, LastEpoch: 5, End: 11}},
			item{kind: kindRestart, partition: partB, restart: replication.Restart{Epoch: 8, Start: 500, PrevEpoch: 7}}),
		"records": f.buffers().Materialize(),
	}
}

// describe prints a message for people.
func describe(name string, b []byte) string {
	if name == "hello" {
		h, err := parseHello(b)
		return fmt.Sprintf("%+v %v\n", h, err)
	}
	var out strings.Builder
	c, err := parseFrame(b)
	var it item
	for err == nil {
		var batches []byte
		var ok bool
		if batches, ok, err = c.next(&it); !ok {
			break
		}
		switch it.kind {
		case kindPosition:
			fmt.Fprintf(&out, "%s %s %+v\n", names[it.kind], it.partition, it.position)
		case kindDivergence:
			fmt.Fprintf(&out, "%s %s %+v\n", names[it.kind], it.partition, it.divergence)
		case kindRestart:
			fmt.Fprintf(&out, "%s %s %+v\n", names[it.kind], it.partition, it.restart)
		case kindRecords:
			fmt.Fprintf(&out, "%s %s %+v %q\n", names[it.kind], it.partition, it.records, batches)
		default:
			fmt.Fprintf(&out, "%s %d\n", names[it.kind], it.number)
		}
	}
	if err != nil {
		fmt.Fprintln(&out, err)
	}
	return out.String()
}

// TestGolden: messages have not changed on the wire.
func TestGolden(t *testing.T) {
	for name, now := range examples() {
		file := fmt.Sprintf("testdata/v%d-%s", Version, name)
		text := describe(name, now)
		if *update {
			if err := os.WriteFile(file+".hex", []byte(hex.Dump(now)), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file+".txt", []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(file + ".hex")
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(name, undump(t, string(stored))); got != string(want) {
			t.Errorf("the stored %s reads as\n%s\nwant\n%s", name, got, want)
		}
		if hex.Dump(now) != string(stored) {
			t.Errorf("this build writes %s differently:\n%s", name, hex.Dump(now))
		}
	}
}

// undump is the inverse of hex.Dump.
func undump(t *testing.T, text string) (b []byte) {
	t.Helper()
	for line := range strings.Lines(text) {
		_, rest, ok := strings.Cut(line, "  ")
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, "|")
		part, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	return b
}

// TestFramesThatMakeNoSense: each is refused with a sentence that says what is wrong.
func TestFramesThatMakeNoSense(t *testing.T) {
	frame := func(data string, all ...item) []byte {
		f := newFrame()
		for i := range all {
			f.add(&all[i])
		}
		return append(f.buffers().Materialize(), data...)
	}
	records := func(base, end int64, size int) item {
		return item{kind: kindRecords, partition: partA, records: replication.Records{Epoch: 1, Base: base, End: end}, size: size}
	}
	bad := map[string][]byte{
		"has no head":           {1, 0, 0},
		"cannot have a head of": {200, 0, 0, 0, 1, 2, 3},
		"kind 0":                {1, 0, 0, 0, 0},
		"kind 200":              {1, 0, 0, 0, 200},
		"ends within a Ping":    {3, 0, 0, 0, 1, 2, 3},
		"belong to no item":     frame("garbage", item{kind: kindPing, number: 1}),
		"of which the frame":    frame("abc", records(0, 1, 4)),
		"from 5 to 4":           frame("abc", records(5, 4, 3)),
		"from -1 to 4":          frame("abc", records(-1, 4, 3)),
		"1 offsets in 0 bytes":  frame("", records(4, 5, 0)),
		"0 offsets in 3 bytes":  frame("abc", records(4, 4, 3)),
		"watermark is negative": frame("", item{kind: kindRecords, partition: partA, records: replication.Records{HighWatermark: -1}}),
		"partition is negative": frame("", item{kind: kindPosition, partition: topic.Partition{Index: -1}}),
		"an epoch is negative":  frame("", item{kind: kindDivergence, partition: partA, divergence: replication.Divergence{Epoch: -1}}),
		"from 0 to -1":          frame("", item{kind: kindRestart, partition: partA, restart: replication.Restart{Start: -1}}),
		"its flags are 0x2":     append(frame("", item{kind: kindPosition, partition: partA})[:4+37], 2),
	}
	for want, b := range bad {
		if got := describe("frame", b); !strings.Contains(got, want) {
			t.Errorf("%x: %q does not say %q", b, got, want)
		}
	}
}

func TestHellosThatDoNotFit(t *testing.T) {
	own := hello{version: 1, least: 1, broker: 1, incarnation: 5, window: 1, cluster: "c"}
	good := hello{version: 1, least: 1, broker: 2, to: 1, incarnation: 9, window: 1, cluster: "c"}
	if err := good.fits(own); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(h *hello){
		"upgrade broker 2":            func(h *hello) { h.version, h.least = 0, 0 },
		"upgrade broker 1":            func(h *hello) { h.version, h.least = 9, 2 },
		"another cluster's data":      func(h *hello) { h.cluster = "d" },
		"two brokers have the id 1":   func(h *hello) { h.broker = 1 },
		"this is broker 1, not 3":     func(h *hello) { h.to = 3 },
		"its Hello has a negative nu": func(h *hello) { h.window = 0 },
		"versions 3 to 2":             func(h *hello) { h.version, h.least = 2, 3 },
	} {
		h := good
		change(&h)
		got, err := parseHello(h.append(nil))
		if err == nil {
			err = got.fits(own)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v does not say %q", h, err, want)
		}
	}
	later := good
	later.version = 2
	if h, err := parseHello(append(later.append(nil), "new fields"...)); err != nil || h != later {
		t.Errorf("a Hello of a later version: %+v, %v", h, err)
	}
	for _, b := range [][]byte{nil, []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n and more text"), good.append(nil)[:50-5], append(good.append(nil), 0)} {
		if h, err := parseHello(b); err == nil {
			t.Errorf("%q was taken for %+v", b, h)
		}
	}
}

// FuzzFrame: what is accepted is written as the same bytes again.
func FuzzFrame(f *testing.F) {
	for _, b := range examples() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseFrame(b)
		again := newFrame()
		var it item
		var batches [][]byte
		for err == nil {
			var data []byte
			var ok bool
			if data, ok, err = c.next(&it); !ok {
				break
			}
			batches = append(batches, data)
			again.add(&it)
		}
		if err != nil {
			return
		}
		got := append(again.buffers().Materialize(), bytes.Join(batches, nil)...)
		if !bytes.Equal(got, b) {
			t.Errorf("%x became %x", b, got)
		}
	})
}

// FuzzHello: what is accepted is written as the same bytes again, except for fields of later versions.
func FuzzHello(f *testing.F) {
	f.Add(examples()["hello"])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			return
		}
		got := h.append(nil)
		if !bytes.HasPrefix(b, got) || h.version <= Version && len(got) != len(b) {
			t.Errorf("%x became %x", b, got)
		}
	})
}

// TestDecodingAllocatesNothing: whatever a frame claims.
func TestDecodingAllocatesNothing(t *testing.T) {
	b := examples()["records"]
	var it item
	if n := testing.AllocsPerRun(100, func() {
		c, _ := parseFrame(b)
		for {
			if _, ok, _ := c.next(&it); !ok {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
