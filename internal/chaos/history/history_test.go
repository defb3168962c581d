package history

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const limit = 2 * time.Minute

// step of a script: an operation that is called and returns at the given times.
type op struct {
	call, ret int64
	in        input
	out       output
}

func add(call, ret, value, offset int64) op {
	return op{call, ret, input{kind: appendRecord, value: value}, output{offset: offset}}
}
func maybe(call, value int64) op {
	return op{call, 1 << 60, input{kind: appendRecord, value: value}, output{unknown: true}}
}
func get(call, ret, offset, value int64) op {
	return op{call, ret, input{kind: getRecord, offset: offset}, output{value: value}}
}
func nothing(call, ret, offset int64) op {
	return op{call, ret, input{kind: getRecord, offset: offset}, output{absent: true}}
}
func end(call, ret, offset int64) op {
	return op{call, ret, input{kind: getEnd}, output{offset: offset}}
}

func recorded(script []op) *Recorder {
	r := NewRecorder()
	for i, o := range script {
		Op{r, i, o.call}.returnsAt(o.ret, o.in, o.out)
	}
	return r
}

// Each script is what a log may have shown, or must not have.
func TestModels(t *testing.T) {
	for name, tc := range map[string]struct {
		script               []op
		linearizable, prefix bool
	}{
		"one after the other":                      {[]op{add(0, 1, 7, 0), add(2, 3, 8, 1), get(4, 5, 0, 7), get(6, 7, 1, 8), end(8, 9, 2)}, true, true},
		"concurrent appends in either order":       {[]op{add(0, 9, 7, 1), add(1, 8, 8, 0), get(10, 11, 0, 8)}, true, true},
		"an unknown append that took effect":       {[]op{maybe(0, 7), add(5, 6, 8, 1), get(8, 9, 0, 7)}, true, true},
		"an unknown append that took none":         {[]op{maybe(0, 7), add(5, 6, 8, 0), get(8, 9, 0, 8)}, true, true},
		"an unknown append that took it late":      {[]op{maybe(0, 7), add(5, 6, 8, 0), add(8, 9, 9, 2), get(10, 11, 1, 7)}, true, true},
		"an acknowledgement without an offset":     {[]op{add(0, 1, 7, unknownOffset), add(2, 3, 8, 1), get(4, 5, 0, 7)}, true, true},
		"nothing beyond the end":                   {[]op{add(0, 1, 7, 0), nothing(2, 3, 1), end(2, 3, 1)}, true, true},
		"a read that lags behind":                  {[]op{add(0, 1, 7, 0), nothing(2, 3, 0)}, false, true},
		"an end that lags behind":                  {[]op{add(0, 1, 7, 0), add(2, 3, 8, 1), end(4, 5, 1)}, false, true},
		"lost: its offset has another record":      {[]op{add(0, 1, 7, 0), add(2, 3, 8, 0)}, false, false},
		"lost: a later append is too early":        {[]op{add(0, 1, 7, 0), add(2, 3, 8, 1), add(4, 5, 9, 1)}, false, false},
		"lost without an offset":                   {[]op{add(0, 1, 7, unknownOffset), add(2, 3, 8, 0)}, false, false},
		"doubled":                                  {[]op{add(0, 1, 7, 0), get(2, 3, 0, 7), get(4, 5, 1, 7)}, false, false},
		"doubled: the next append is too late":     {[]op{add(0, 1, 7, 0), add(2, 3, 8, 2)}, false, false},
		"an unknown append that took effect twice": {[]op{maybe(0, 7), get(2, 3, 0, 7), add(4, 5, 8, 2)}, false, false},
		"reordered":                   {[]op{add(0, 1, 7, 1), add(2, 3, 8, 0)}, false, false},
		"reordered reads":             {[]op{add(0, 1, 7, 0), add(2, 3, 8, 1), get(4, 5, 0, 8), get(6, 7, 1, 7)}, false, false},
		"changed":                     {[]op{add(0, 1, 7, 0), get(2, 3, 0, 70)}, false, false},
		"changed between two reads":   {[]op{maybe(0, 7), maybe(0, 8), get(2, 3, 0, 7), get(4, 5, 0, 8)}, false, false},
		"read before it was sent":     {[]op{get(0, 1, 0, 7), add(2, 3, 7, 0)}, false, false},
		"an end beyond what was sent": {[]op{add(0, 1, 7, 0), end(2, 3, 2)}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, m := range []struct {
				name  string
				model porcupine.Model
				want  bool
			}{{"linearizable", Linearizable, tc.linearizable}, {"prefix", Prefix, tc.prefix}} {
				if err := recorded(tc.script).Check(m.model, limit); (err == nil) != m.want {
					t.Errorf("%s: %v", m.name, err)
				}
			}
		})
	}
}

// random is a history of many clients on a log that keeps its promises, with some outcomes
// unknown.
func random(seed uint64, clients, ops int) (script []op, values []int64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	free, now := make([]int64, clients), int64(0)
	for i := range ops {
		c := rng.IntN(clients)
		call := max(free[c], now) + rng.Int64N(5)
		now = call + 1
		ret := call + 1 + rng.Int64N(10)
		free[c] = ret + 1
		switch n := int64(len(values)); {
		case n == 0 || rng.IntN(2) == 0:
			value := int64(i + 1)
			if rng.IntN(100) == 0 {
				script = append(script, maybe(call, value))
				if rng.IntN(2) == 0 {
					continue
				}
			} else {
				script = append(script, add(call, ret, value, n))
			}
			values = append(values, value)
		case rng.IntN(4) == 0:
			script = append(script, end(call, ret, n))
		default:
			o := rng.Int64N(n)
			script = append(script, get(call, ret, o, values[o]))
		}
	}
	return script, values
}

// A long history is decided in time, and one wrong operation in it is noticed.
func TestLongHistories(t *testing.T) {
	decide := func(script []op, values []int64, model porcupine.Model) error {
		r := recorded(script)
		r.begin = r.begin.Add(-time.Hour) // the final reads come after everything
		r.Final(values)
		return r.Check(model, limit)
	}
	for seed := range uint64(3) {
		script, values := random(seed, 20, 3000)
		if err := decide(script, values, Linearizable); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		rng := rand.New(rand.NewPCG(seed, 2))
		for changed := false; !changed; {
			switch o := &script[rng.IntN(len(script))]; {
			case o.in.kind == appendRecord && !o.out.unknown:
				o.out.offset++
				changed = true
			case o.in.kind == getRecord:
				o.out.value++
				changed = true
			}
		}
		for _, model := range []porcupine.Model{Linearizable, Prefix} {
			if err := decide(script, values, model); err == nil || errors.Is(err, ErrUndecided) {
				t.Errorf("seed %d: one operation was changed: %v", seed, err)
			}
		}
	}
}

// The final log is an observation like any other.
func TestFinalLog(t *testing.T) {
	script := []op{add(0, 1, 7, 0), maybe(2, 8), add(4, 5, 9, unknownOffset)}
	for name, tc := range map[string]struct {
		values []int64
		want   bool
	}{
		"the unknown append took effect":      {[]int64{7, 8, 9}, true},
		"it took effect late":                 {[]int64{7, 9, 8}, true},
		"it took none":                        {[]int64{7, 9}, true},
		"an acknowledged record is lost":      {[]int64{7, 8}, false},
		"the first record is lost":            {[]int64{8, 9}, false},
		"an acknowledged record is doubled":   {[]int64{7, 8, 9, 7}, false},
		"the unknown append is doubled":       {[]int64{7, 8, 9, 8}, false},
		"acknowledged records are reordered":  {[]int64{9, 7}, false},
		"a record that nobody sent is there":  {[]int64{7, 8, 9, 10}, false},
		"an acknowledged record was replaced": {[]int64{10, 8, 9}, false},
	} {
		r := recorded(script)
		r.begin = r.begin.Add(-time.Hour)
		r.Final(tc.values)
		if err := r.Check(Linearizable, limit); (err == nil) != tc.want || errors.Is(err, ErrUndecided) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecorder(t *testing.T) {
	r := NewRecorder()
	r.Call(0).Appended(7, 0)
	r.Call(1).MaybeAppended(8)
	r.Call(0).Got(0, 7)
	r.Call(2).Got(1, 8)
	r.Call(2).GotNothing(2)
	r.Call(2).GotEnd(2)
	r.Call(0).Appended(9, -1)
	if err := r.Check(Linearizable, limit); err != nil || r.Len() != 7 {
		t.Errorf("%d operations: %v", r.Len(), err)
	}
	r.Call(0).GotEnd(2)
	if err := r.Check(Linearizable, limit); err == nil {
		t.Error("an acknowledged append is missing")
	}
}
