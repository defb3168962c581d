package quorum

import (
	"errors"
	"testing"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/dragonboat/v4/raftpb"

	"github.com/sluicemq/sluice/consensus/machine"
)

// entriesOnly is a log that only serves entries.
type entriesOnly struct {
	raftio.ILogDB
	entries []raftpb.Entry
}

func (e entriesOnly) IterateEntries([]raftpb.Entry, uint64, uint64, uint64, uint64, uint64, uint64) ([]raftpb.Entry, uint64, error) {
	return e.entries, 0, nil
}

// Commands of another version are found when the logs are inspected, before anything starts.
func TestLogsOfAnotherVersionAreRefused(t *testing.T) {
	cmd := machine.Encode(&machine.AllocateIDs{Count: 1})
	other := append([]byte{machine.Version - 1}, cmd[1:]...)
	encoded := func(payload []byte) []byte { return append([]byte{0}, payload...) }
	for _, c := range []struct {
		name string
		last raftpb.Entry
		want error
	}{
		{"this version", raftpb.Entry{Cmd: cmd}, nil},
		{"this version, encoded", raftpb.Entry{Type: raftpb.EncodedEntry, Cmd: encoded(cmd)}, nil},
		{"an older command", raftpb.Entry{Cmd: other}, machine.ErrVersion},
		{"an older command, encoded", raftpb.Entry{Type: raftpb.EncodedEntry, Cmd: encoded(other)}, machine.ErrVersion},
		{"a newer command", raftpb.Entry{Cmd: append([]byte{machine.Version + 1}, cmd[1:]...)}, machine.ErrVersion},
		{"a membership change", raftpb.Entry{Type: raftpb.ConfigChangeEntry, Cmd: other}, nil},
	} {
		c.last.Index = 2
		log := entriesOnly{entries: []raftpb.Entry{{Index: 1}, c.last}} // the first is by a new leader
		if err := readEntries(log, raftio.NodeInfo{}, 1, 3); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
