package lookup

import (
	"errors"
	"testing"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
)

type fixed struct{ v *meta.View }

func (f fixed) View() *meta.View { return f.v }

func TestLookup(t *testing.T) {
	id := topic.NewID()
	orders := &meta.Topic{Name: "orders", ID: id, Partitions: []*meta.Partition{{Leader: 1}, {Leader: 2}, {Leader: 1}}}
	v := meta.NewView(1, "c", 1, nil, []*meta.Topic{orders})
	var table partition.Table
	here := table.Put(partition.NewState(topic.Partition{Topic: id, Index: 0}, 5, 0, 0))
	gone := table.Put(partition.NewState(topic.Partition{Topic: id, Index: 2}, 5, 0, 0))
	gone.Delete()
	l := New(fixed{v}, &table)

	if got, err := ByName(l.View(), "orders"); got != orders || err != nil {
		t.Errorf("by name: %v, %v", got, err)
	}
	if _, err := ByName(v, "order"); !errors.Is(err, meta.ErrUnknownTopic) {
		t.Errorf("unknown name: %v", err)
	}
	if got, err := ByID(v, id); got != orders || err != nil {
		t.Errorf("by id: %v, %v", got, err)
	}
	if _, err := ByID(v, topic.ID{}); !errors.Is(err, ErrUnknownID) {
		t.Errorf("zero id: %v", err)
	}
	for index, want := range map[int32]error{0: nil, 1: ErrNotLeader, 2: ErrNotLeader, 3: meta.ErrUnknownTopic, -1: meta.ErrUnknownTopic} {
		if s, err := l.Partition(orders, index); !errors.Is(err, want) || (err == nil) != (s == here) {
			t.Errorf("partition %d: %v, want %v", index, err, want)
		}
	}
	for epoch, want := range map[int32]error{NoEpoch: nil, 5: nil, 4: ErrFencedEpoch, 6: ErrUnknownEpoch} {
		if err := CheckEpoch(here, epoch); !errors.Is(err, want) {
			t.Errorf("epoch %d: %v, want %v", epoch, err, want)
		}
	}
}
