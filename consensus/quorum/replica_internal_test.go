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
	if again.index != 7 || !bytes.Equal(again.state.Snapshot(), r.state.Snapshot()) {
		t.Errorf("index %d, want 7, or another state", again.index)
	}
	if _, ok, _ := again.feed.from(6); ok {
		t.Error("a follower behind the snapshot is told that it has everything")
	}
	if _, ok, _ := again.feed.from(7); !ok {
		t.Error("a follower at the snapshot's index gets another snapshot")
	}
	for what, b := range map[string][]byte{"of before": r.state.Snapshot(), "cut off": file.Bytes()[:5], "empty": nil} {
		if err := fresh().RecoverFromSnapshot(bytes.NewReader(b), nil, nil); !errors.Is(err, errSnapshot) {
			t.Errorf("a snapshot that is %s: %v, want %v", what, err, errSnapshot)
		}
	}
}
