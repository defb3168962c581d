package scenario

import (
	"slices"
	"testing"
	"time"
)

func TestListIsSound(t *testing.T) {
	if len(List) < 30 {
		t.Errorf("%d scenarios", len(List))
	}
	names := make(map[string]bool)
	for _, s := range List {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
		if names[s.Name] {
			t.Errorf("two scenarios are %s", s.Name)
		}
		names[s.Name] = true
		on := make([]bool, len(s.Faults))
		last := time.Duration(0)
		for _, e := range s.Timeline() {
			if e.At < last || on[e.Fault] == e.Begin {
				t.Errorf("%s: event %+v is out of order", s.Name, e)
			}
			last, on[e.Fault] = e.At, e.Begin
		}
		if slices.Contains(on, true) {
			t.Errorf("%s: a fault does not end", s.Name)
		}
	}
	for _, k := range []Kind{Kill, Freeze, Isolate, Depart, Mute, Deafen, Split, Loss, Delay, Fill, Clock, Store} {
		if !slices.ContainsFunc(List, func(s Scenario) bool { return s.Uses(k) }) {
			t.Errorf("no scenario has a %s", k)
		}
	}
}

func TestTimeline(t *testing.T) {
	s := Scenario{Faults: []Fault{
		{Kind: Isolate, At: 2 * second, For: 5 * second, Every: 2 * second},
		{Kind: Kill, At: 3 * second, For: second},
	}}
	want := []Event{
		{2 * second, 0, true},
		{3 * second, 0, false}, {3 * second, 1, true},
		{4 * second, 1, false}, {4 * second, 0, true},
		{5 * second, 0, false},
		{6 * second, 0, true}, {7 * second, 0, false},
	}
	if got := s.Timeline(); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestWhatCannotBeCarriedOut(t *testing.T) {
	fine := Fault{Kind: Kill, On: Leader, For: second}
	for name, change := range map[string]func(*Fault){
		"no end":                func(f *Fault) { f.For = 0 },
		"before the start":      func(f *Fault) { f.At = -1 },
		"period too long":       func(f *Fault) { f.Every = 2 * second },
		"no node":               func(f *Fault) { f.On = Network },
		"a node of a network":   func(f *Fault) { f.Kind, f.Share = Loss, 0.1 },
		"nothing lost":          func(f *Fault) { f.Kind, f.On = Loss, Network },
		"everything lost":       func(f *Fault) { f.Kind, f.On, f.Share = Loss, Network, 1 },
		"a clock that is right": func(f *Fault) { f.Kind = Clock },
		"a share of a kill":     func(f *Fault) { f.Share = 0.5 },
		"the same as nothing":   func(f *Fault) { f.On = Same },
		"a jitter of a kill":    func(f *Fault) { f.Jitter = second },
	} {
		f := fine
		change(&f)
		if (Scenario{"x", "x", Steady, []Fault{f}}).Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := (Scenario{"x", "x", Steady, []Fault{fine}}).Validate(); err != nil {
		t.Error(err)
	}
	if (Scenario{"x", "x", "", []Fault{fine}}).Validate() == nil || (Scenario{"x", "x", Steady, nil}).Validate() == nil {
		t.Error("a scenario without promises or faults is taken")
	}
}
