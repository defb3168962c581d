package feed

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/consensus/quorum"
)

var update = flag.Bool("update", false, "write the golden file")

var messages = []message{
	{kind: kindHeartbeat, number: 7},
	{kind: kindSubscribe, shard: 3, token: 5, at: quorum.Position{Index: 900, Sum: 0x0102030405060708}},
	{kind: kindEntries, shard: 3, token: 5, entries: []quorum.Entry{{Index: 901, Cmd: []byte{1, 2}}, {Index: 904, Cmd: []byte{3}}}},
	{kind: kindEntries, shard: 3, token: 5},
	{kind: kindSnapshot, shard: 16, token: 6, at: quorum.Position{Index: 12, Sum: 0x1112131415161718}, total: 5, from: 2, piece: []byte{9, 8, 7}},
	{kind: kindFailed, shard: 1, token: 2, reason: reasonBehind, text: "behind"},
}

// The layout of each message, byte for byte.
func TestGolden(t *testing.T) {
	h := hello{broker: 7, incarnation: 3, cluster: "abc"}
	var b strings.Builder
	line := func(name string, data []byte) { b.WriteString(name + " " + hex.EncodeToString(data) + "\n") }
	line("hello", h.append(nil))
	line("welcome", welcome{controller: 2, shards: 16, cluster: "abc"}.append(nil))
	line("request", request{hello: h, shard: 4, cmd: []byte{1, 2, 3}}.append(nil))
	line("reply", appendReply(nil, 77, []byte{4, 5}))
	names := []string{"", "heartbeat", "subscribe", "entries", "snapshot", "failed"}
	for _, m := range messages {
		line(names[m.kind], m.append(nil))
	}
	path := filepath.Join("testdata", "messages.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the layout has changed:\n%s\nwant\n%s", b.String(), want)
	}
}

func TestMessagesAreReadAsWritten(t *testing.T) {
	for _, m := range messages {
		b := m.append(nil)
		got, err := parseMessage(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v is read as %+v, %v", m, got, err)
		}
	}
	r := request{hello{7, 3, "abc"}, 4, []byte{1, 2, 3}}
	if got, err := parseRequest(r.append(nil)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v is read as %+v, %v", r, got, err)
	}
	w := welcome{2, 16, "abc"}
	if got, err := parseWelcome(w.append(nil)); err != nil || got != w {
		t.Errorf("%+v is read as %+v, %v", w, got, err)
	}
}

// Whatever arrives is refused or means something: what is read is written the same way.
func FuzzMessage(f *testing.F) {
	for _, m := range messages {
		f.Add(m.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err == nil && string(m.append(nil)) != string(b) {
			t.Errorf("%x is read as %+v", b, m)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add(request{hello{7, 3, "abc"}, 4, []byte{1, 2, 3}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRequest(b)
		if err == nil && string(r.append(nil)) != string(b) {
			t.Errorf("%x is read as %+v", b, r)
		}
	})
}
