package quorum

import (
	"bytes"
	"errors"
	"testing"

	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/sluicemq/sluice/consensus/machine"
)

// A snapshot in a log keeps the index, so that followers of a restarted controller resume; one
// without, as earlier versions wrote it, is refused and not misread.
func TestSnapshotsKeepTheIndex(t *testing.T) {
	fresh := func() *replica { return newReplica(0, &logSize{limit: 1 << 20}, newFeed()) }
	r := fresh()
	for _, index := range []uint64{3, 7} { // Raft has entries of its own in between
		if _, err := r.Update(statemachine.Entry{Index: index, Cmd: machine.Encode(&machine.AllocateIDs{Count: 1})}); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if err := r.SaveSnapshot(&file, nil, nil); err != nil {
		t.Fatal(err)
	}
	again := fresh()
	if err := again.RecoverFromSnapshot(bytes.NewReader(file.Bytes()), nil, nil); err != nil {
		t.Fatal(err)
	}
	if again.at != r.at || again.at.Index != 7 || !bytes.Equal(again.state.Snapshot(), r.state.Snapshot()) {
		t.Errorf("at %+v, want %+v, or another state", again.at, r.at)
	}
	if _, ok, _, err := again.feed.from(Position{Index: 6}); ok || err != nil {
		t.Error("a follower behind the snapshot is told that it has everything")
	}
	if _, ok, _, err := again.feed.from(r.at); !ok || err != nil {
		t.Error("a follower at the snapshot's index gets another snapshot")
	}
	for what, b := range map[string][]byte{"of before": r.state.Snapshot(), "cut off": file.Bytes()[:5], "of the version before": append([]byte{snapshotVersion - 1}, file.Bytes()[1:]...), "empty": nil} {
		if err := fresh().RecoverFromSnapshot(bytes.NewReader(b), nil, nil); !errors.Is(err, errSnapshot) {
			t.Errorf("a snapshot that is %s: %v, want %v", what, err, errSnapshot)
		}
	}
}

// A follower is told when the shard was never where it is: behind it, or with other commands.
func TestHistoriesAreToldApart(t *testing.T) {
	history := func(f *feed, cmds ...string) (at Position) {
		for i, cmd := range cmds {
			e := Entry{uint64(2*i + 3), []byte(cmd)}
			at = at.After(e)
			f.add(e, at)
		}
		return at
	}
	f := newFeed()
	at := history(f, "a", "b", "c")
	for what, p := range map[string]Position{
		"at the end":         at,
		"before the last":    history(newFeed(), "a", "b"),
		"at the beginning":   {},
		"ahead":              history(newFeed(), "a", "b", "c", "d"),
		"of another history": history(newFeed(), "a", "x"),
		"between commands":   {Index: 6, Sum: history(newFeed(), "a", "b").Sum},
	} {
		entries, ok, _, err := f.from(p)
		apart := what == "ahead" || what == "of another history" || what == "between commands"
		if apart != errors.Is(err, ErrAhead) || !apart && (!ok || err != nil || p.AfterAll(Changes{Entries: entries}) != at) {
			t.Errorf("a follower %s: %v, %v, %v", what, entries, ok, err)
		}
	}
	f.reset(at)
	if _, ok, _, err := f.from(Position{at.Index, at.Sum + 1}); ok || !errors.Is(err, ErrAhead) {
		t.Errorf("a follower of another history, after a snapshot: %v, %v", ok, err)
	}
	e := Entry{9, []byte("d")}
	f.add(e, at.After(e))
	if entries, ok, _, err := f.from(at); !ok || err != nil || len(entries) != 1 {
		t.Errorf("after a snapshot: %v, %v, %v", entries, ok, err)
	}
}
