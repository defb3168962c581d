package meta

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/topic"
)

// TestViewsAreLikeMaps adds, replaces and removes topics, and compares the views, and the
// changes between them, with a map. Earlier views stay unchanged.
func TestViewsAreLikeMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
		now := map[string]*Topic{}
		v := NewView(1, "c", 1, nil, nil)
		type snapshot struct {
			v   *View
			was map[string]*Topic
		}
		views := []snapshot{{v, nil}}
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				var put []*Topic
				var removed []topic.ID
				for _, name := range rapid.SliceOfNDistinct(names, 1, 5, rapid.ID).Draw(t, "names") {
					old := now[name]
					switch rapid.SampledFrom([]string{"new", "replace", "remove"}).Draw(t, "what") {
					case "new": // replaces a topic of the same name
						if old != nil {
							removed = append(removed, old.ID)
						}
						now[name] = &Topic{Name: name, ID: topic.NewID()}
						put = append(put, now[name])
					case "replace":
						if old != nil {
							now[name] = &Topic{Name: name, ID: old.ID}
							put = append(put, now[name])
						}
					case "remove":
						if old != nil {
							removed = append(removed, old.ID)
							delete(now, name)
						}
					}
				}
				v = v.Next(put, removed)
				all := make(map[string]*Topic, len(now))
				for k, t := range now {
					all[k] = t
				}
				views = append(views, snapshot{v, all})
			},
			"": func(t *rapid.T) {
				for _, k := range views {
					if k.v.Size() != len(k.was) || len(k.v.Topics()) != len(k.was) {
						t.Fatalf("%d topics, want %d", k.v.Size(), len(k.was))
					}
					for name, want := range k.was {
						a, _ := k.v.TopicByName(name)
						if b, _ := k.v.TopicByID(want.ID); a != want || b != want {
							t.Fatalf("topic %s is %p by name and %p by id, want %p", name, a, b, want)
						}
					}
				}
				from := views[rapid.IntRange(0, len(views)-1).Draw(t, "from")]
				var got, want []string
				for was, is := range v.ChangedFrom(from.v) {
					got = append(got, fmt.Sprintf("%p %p", was, is))
				}
				ids := map[topic.ID][2]*Topic{}
				for _, x := range from.was {
					ids[x.ID] = [2]*Topic{x, nil}
				}
				for _, x := range now {
					ids[x.ID] = [2]*Topic{ids[x.ID][0], x}
				}
				for _, x := range ids {
					if x[0] != x[1] {
						want = append(want, fmt.Sprintf("%p %p", x[0], x[1]))
					}
				}
				slices.Sort(got)
				if slices.Sort(want); !slices.Equal(got, want) {
					t.Fatalf("changed %v, want %v", got, want)
				}
			},
		})
	})
}
