package machine

import (
	"slices"
	"testing"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// TestSectionsKeepTheirObjects follows an object that only contains producer sections, of two
// partitions.
func TestSectionsKeepTheirObjects(t *testing.T) {
	s, id := NewShard(), topicID("t")
	apply := func(cmd Command) Result {
		t.Helper()
		r, _, err := s.Apply(cmd)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	apply(&StartBroker{Broker: 1, Incarnation: 1})
	apply(&ReadyBroker{Broker: 1, Incarnation: 1})
	apply(&EnsurePartitions{Topic: id, Parts: []NewPartition{{0, []int32{1}}, {1, []int32{1}}}})
	ends := map[int32]int64{}
	commit := func(nowMs int64, sections map[int32][]meta.ProducerSection) []Code {
		t.Helper()
		data := meta.NewObjectID()
		apply(&PrepareObject{ID: data, Shards: 1, ExpiryMs: nowMs + 10})
		cmd := &CommitParts{ID: data, NowMs: nowMs}
		for index := range int32(2) {
			cmd.Parts = append(cmd.Parts, meta.CommitPart{Partition: topic.Partition{Topic: id, Index: index},
				Ref:       meta.ObjectRef{ID: data, Base: ends[index], End: ends[index] + 1},
				Producers: meta.Producers{Sections: sections[index]}})
		}
		codes := apply(cmd).Parts
		for i, c := range codes {
			if c == OK {
				ends[int32(i)]++
			}
		}
		return codes
	}
	first, second := objectID("first"), objectID("second")
	a := meta.ProducerSection{Object: first, Offset: 40, Length: 10, NewestMs: 1000}
	b := meta.ProducerSection{Object: first, Offset: 50, Length: 10, NewestMs: 2000}
	c := meta.ProducerSection{Object: second, Offset: 40, Length: 20, NewestMs: 3000}

	if got := commit(1, map[int32][]meta.ProducerSection{0: {a}}); !slices.Equal(got, []Code{Conflict, OK}) {
		t.Errorf("a section of an object that was not prepared: %v", got)
	}
	apply(&PrepareObject{ID: first, Shards: 1, ExpiryMs: 100})
	if got := commit(2, map[int32][]meta.ProducerSection{0: {a}, 1: {b}}); !slices.Equal(got, []Code{OK, OK}) || s.objects[first].refs != 2 {
		t.Errorf("%v, %+v", got, s.objects[first])
	}
	apply(&PrepareObject{ID: second, Shards: 1, ExpiryMs: 100})
	if got := commit(100, map[int32][]meta.ProducerSection{0: {a, c}, 1: {b}}); !slices.Equal(got, []Code{Conflict, OK}) {
		t.Errorf("a section of an object that has expired: %v", got)
	}
	if got := commit(99, map[int32][]meta.ProducerSection{0: {a, c}, 1: {b}}); !slices.Equal(got, []Code{OK, OK}) {
		t.Errorf("unchanged sections must be accepted however old their objects are: %v", got)
	}
	apply(&ExpireProducers{BeforeMs: 2001, NowMs: 200})
	if s.objects[first].deadMs != 200 || s.objects[second].refs != 1 {
		t.Errorf("the objects are %+v and %+v after their sections have expired", s.objects[first], s.objects[second])
	}
	if got := commit(99, map[int32][]meta.ProducerSection{0: {a, c}}); !slices.Equal(got, []Code{Conflict, OK}) {
		t.Errorf("a section that expired meanwhile: %v", got)
	}
	apply(&DropTopic{Topic: id, NowMs: 300})
	if s.objects[second].deadMs != 300 {
		t.Errorf("a deleted topic holds %+v", s.objects[second])
	}
}
