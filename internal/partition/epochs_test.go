package partition

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

func TestEpochsBelowTheLogStartAreForgotten(t *testing.T) {
	s := NewState(topic.Partition{Topic: topic.NewID()}, 9, 0, 0)
	for _, e := range []meta.EpochStart{{Epoch: 1, Start: 0}, {Epoch: 3, Start: 10}, {Epoch: 4, Start: 20}, {Epoch: 8, Start: 30}} {
		s.NoteEpoch(e.Epoch, e.Start)
	}
	s.Publish(100)
	for _, tt := range []struct {
		start int64
		left  []int32
		ends  map[int32]meta.EpochStart // by requested epoch
	}{
		{0, []int32{1, 3, 4, 8}, map[int32]meta.EpochStart{-1: {Epoch: -1, Start: -1}, -2: {Epoch: -2, Start: 0}, 0: {Epoch: 0, Start: 0}, 1: {Epoch: 1, Start: 10},
			2: {Epoch: 1, Start: 10}, 3: {Epoch: 3, Start: 20}, 7: {Epoch: 4, Start: 30}, 8: {Epoch: 8, Start: 100}, 9: {Epoch: 9, Start: 100}, 10: {Epoch: -1, Start: -1}}},
		{9, []int32{1, 3, 4, 8}, map[int32]meta.EpochStart{0: {Epoch: 0, Start: 9}, 1: {Epoch: 1, Start: 10}}},
		{10, []int32{3, 4, 8}, map[int32]meta.EpochStart{0: {Epoch: 0, Start: 10}, 1: {Epoch: 1, Start: 10}, 3: {Epoch: 3, Start: 20}}},
		{25, []int32{4, 8}, map[int32]meta.EpochStart{1: {Epoch: 1, Start: 25}, 3: {Epoch: 3, Start: 25}, 4: {Epoch: 4, Start: 30}}},
		{5, []int32{4, 8}, nil}, // the log start never decreases
		{100, []int32{8}, map[int32]meta.EpochStart{4: {Epoch: 4, Start: 100}, 8: {Epoch: 8, Start: 100}, 9: {Epoch: 9, Start: 100}}},
	} {
		s.SetLogStart(tt.start)
		var left []int32
		for _, e := range s.Epochs() {
			left = append(left, e.Epoch)
		}
		if !slices.Equal(left, tt.left) {
			t.Errorf("log start %d: epochs %v, want %v", tt.start, left, tt.left)
		}
		for asked, want := range tt.ends {
			if epoch, end := s.EpochEnd(asked); epoch != want.Epoch || end != want.Start {
				t.Errorf("log start %d: epoch %d ends as %d at %d, want %+v", tt.start, asked, epoch, end, want)
			}
		}
	}
	empty := NewState(topic.Partition{Topic: topic.NewID()}, 5, 7, 7) // everything was deleted
	if epoch, end := empty.EpochEnd(3); epoch != 3 || end != 7 {
		t.Errorf("epoch 3 of an empty log ends as %d at %d", epoch, end)
	}
}

// TestEpochEndsAsInALogOfAllEpochs compares a State with the epoch of each record:
// forgetting epochs changes no answer about readable records.
func TestEpochEndsAsInALogOfAllEpochs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewState(topic.Partition{Topic: topic.NewID()}, 0, 0, 0)
		var of []int32 // epoch of each record
		epoch := int32(0)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				s.NoteEpoch(epoch, int64(len(of)))
				for range rapid.IntRange(1, 5).Draw(t, "records") {
					of = append(of, epoch)
				}
				s.Publish(int64(len(of)))
			},
			"elect": func(t *rapid.T) {
				epoch += rapid.Int32Range(1, 3).Draw(t, "by")
				s.SetEpoch(epoch)
			},
			"trim": func(t *rapid.T) { s.SetLogStart(rapid.Int64Range(0, int64(len(of))).Draw(t, "to")) },
			"": func(t *rapid.T) {
				start := s.LogStart()
				for asked := int32(0); asked <= epoch; asked++ {
					end := int64(len(of))
					for end > start && of[end-1] > asked {
						end--
					}
					got, at := s.EpochEnd(asked)
					if at != end {
						t.Fatalf("epoch %d ends at %d, want %d; log start %d, records %v", asked, at, end, start, of)
					}
					if asked < epoch && end > start && got != of[end-1] {
						t.Fatalf("epoch %d is answered as %d, want %d", asked, got, of[end-1])
					}
				}
				for i, e := range s.Epochs() {
					if i > 0 && e.Start <= start {
						t.Fatalf("epochs %v, log start %d", s.Epochs(), start)
					}
				}
			},
		})
	})
}
