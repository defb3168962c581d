package pipeline

import (
	"errors"
	"strings"
	"testing"
)

func TestWiringMistakesAreRefused(t *testing.T) {
	var l receipts
	for name, c := range map[string]struct {
		wire func(*Graph)
		want string
	}{
		"open port":  {func(g *Graph) { From(g, "src", l.first(1)) }, "the port of src has no reader"},
		"open route": {func(g *Graph) { Route(From(g, "src", l.first(1)), "by", 2, func(int) int { return 0 }) }, "by[0] has no reader"},
		"two readers": {func(g *Graph) {
			p := From(g, "src", l.first(1))
			Into(p, "x", ack(0))
			Into(p, "y", ack(0))
		}, "the port of src already has a reader"},
		"same name": {func(g *Graph) { Into(From(g, "x", l.first(1)), "x", ack(0)) }, "duplicate name x"},
		"lane key": {func(g *Graph) {
			Into(From(g, "src", l.first(1)), "x", ack(0), Lanes(2, func(string) uint64 { return 0 }))
		}, "the lane key of x is a func(string) uint64"},
		"lanes and workers": {func(g *Graph) {
			Into(From(g, "src", l.first(1)), "x", ack(0), Lanes(2, number), Workers(2))
		}, "both lanes and workers"},
	} {
		t.Run(name, func(t *testing.T) {
			g := New("g")
			c.wire(g)
			if err := g.Run(t.Context(), 0); !errors.Is(err, ErrWiring) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	g := New("g")
	Into(From(g, "src", l.first(1)), "sink", ack(0))
	if err := errors.Join(g.Run(t.Context(), 0)); err != nil {
		t.Error(err)
	}
	if err := g.Run(t.Context(), 0); !errors.Is(err, ErrWiring) {
		t.Errorf("second run: %v", err)
	}
}
