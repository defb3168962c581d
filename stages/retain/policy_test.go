package retain_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/stages/retain"
)

// ref returns an object written long after its newest record.
func ref(base, end, bytes, timestamp int64) meta.ObjectRef {
	return written(base, end, bytes, timestamp, 1<<40)
}

func written(base, end, bytes, timestamp, at int64) meta.ObjectRef {
	return meta.ObjectRef{Base: base, End: end, Bytes: bytes, MaxTimestamp: timestamp, WrittenMs: at}
}

func TestPolicyOf(t *testing.T) {
	for _, c := range []struct {
		configs map[string]string
		want    retain.Policy
		ok      bool
	}{
		{nil, retain.Policy{Ms: 604800000, Bytes: -1}, true},
		{map[string]string{"retention.ms": "-1"}, retain.Policy{Ms: -1, Bytes: -1}, false},
		{map[string]string{"retention.ms": "-1", "retention.bytes": "5"}, retain.Policy{Ms: -1, Bytes: 5}, true},
		{map[string]string{"cleanup.policy": "compact", "retention.ms": "5"}, retain.Policy{Ms: 5, Bytes: -1}, false},
		{map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "5"}, retain.Policy{Ms: 5, Bytes: -1}, true},
	} {
		if got, ok := retain.PolicyOf(c.configs); got != c.want || ok != c.ok {
			t.Errorf("%v: %+v, %v", c.configs, got, ok)
		}
	}
}

// Each log has objects [0,10) at 100 ms, [10,20) at 200 and [20,30) at 300, with
// 1000 bytes each, unless stated otherwise.
func TestStart(t *testing.T) {
	three := []meta.ObjectRef{ref(0, 10, 1000, 100), ref(10, 20, 1000, 200), ref(20, 30, 1000, 300)}
	none := retain.Tail{End: 30, MaxTimestamp: -1}
	tail := retain.Tail{End: 40, Bytes: 500, MaxTimestamp: 400}
	age := func(ms int64) retain.Policy { return retain.Policy{Ms: ms, Bytes: -1} }
	size := func(n int64) retain.Policy { return retain.Policy{Ms: -1, Bytes: n} }
	for name, c := range map[string]struct {
		p       retain.Policy
		objects []meta.ObjectRef
		tail    retain.Tail
		start   int64 // before
		now     int64
		want    retain.Decision
	}{
		"all young":                          {age(1000), three, none, 0, 1100, retain.Decision{}},
		"one old":                            {age(1000), three, none, 0, 1101, retain.Decision{Start: 10, Bytes: 1000, Reason: retain.ByTime}},
		"all old":                            {age(1000), three, none, 0, 9999, retain.Decision{Start: 30, Bytes: 3000, Reason: retain.ByTime}},
		"old after a young one":              {age(1000), []meta.ObjectRef{ref(0, 10, 1, 500), ref(10, 20, 1, 100)}, none, 0, 1200, retain.Decision{}},
		"old empty object":                   {age(1000), []meta.ObjectRef{written(0, 10, 1, -1, 100), ref(10, 20, 1, 100), ref(20, 30, 1, 500)}, none, 0, 1200, retain.Decision{Start: 20, Bytes: 2, Reason: retain.ByTime}},
		"no timestamp, written long ago":     {age(1000), []meta.ObjectRef{written(0, 10, 1, -1, 100), written(10, 20, 1, -1, 300)}, none, 0, 1200, retain.Decision{Start: 10, Bytes: 1, Reason: retain.ByTime}},
		"no timestamp, written just now":     {age(1000), []meta.ObjectRef{written(0, 10, 1, -1, 100)}, none, 0, 1100, retain.Decision{}},
		"future timestamp, written long ago": {age(1000), []meta.ObjectRef{written(0, 10, 1, 1<<50, 100), ref(10, 20, 1, 150), ref(20, 30, 1, 500)}, none, 0, 1200, retain.Decision{Start: 20, Bytes: 2, Reason: retain.ByTime}},
		"future timestamp, written just now": {age(1000), []meta.ObjectRef{written(0, 10, 1, 1<<50, 400), ref(10, 20, 1, 150)}, none, 0, 1200, retain.Decision{}},
		"objects old, tail young":            {age(1000), three, tail, 0, 1400, retain.Decision{Start: 30, Bytes: 3000, Reason: retain.ByTime}},
		"tail old too":                       {age(1000), three, tail, 0, 1401, retain.Decision{Start: 40, Bytes: 3500, Reason: retain.ByTime}},
		"tail alone":                         {age(1000), nil, tail, 30, 1401, retain.Decision{Start: 40, Bytes: 500, Reason: retain.ByTime}},
		"tail of a log deleted to its end":   {age(1000), nil, tail, 40, 1401, retain.Decision{}},
		"enough room":                        {size(3000), three, none, 0, 9999, retain.Decision{}},
		"one over":                           {size(2000), three, none, 0, 9999, retain.Decision{Start: 10, Bytes: 1000, Reason: retain.BySize}},
		"one and a half over":                {size(1999), three, none, 0, 9999, retain.Decision{Start: 10, Bytes: 1000, Reason: retain.BySize}},
		"the tail counts":                    {size(2500), three, tail, 0, 9999, retain.Decision{Start: 10, Bytes: 1000, Reason: retain.BySize}},
		"the tail stays":                     {size(0), three, tail, 0, 9999, retain.Decision{Start: 30, Bytes: 3000, Reason: retain.BySize}},
		"the stricter one, time":             {retain.Policy{Ms: 1000, Bytes: 2000}, three, none, 0, 1201, retain.Decision{Start: 20, Bytes: 2000, Reason: retain.ByTime}},
		"the stricter one, size":             {retain.Policy{Ms: 1000, Bytes: 1000}, three, none, 0, 1101, retain.Decision{Start: 20, Bytes: 2000, Reason: retain.BySize}},
	} {
		tierEnd := int64(30)
		got, ok := c.p.Start(retain.Partition{Start: c.start, TierEnd: tierEnd, Objects: c.objects, Tail: c.tail}, c.now)
		if ok != (c.want != retain.Decision{}) || ok && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, c.want)
		}
	}
}

// For any log: the start is an object boundary, no record within the retention time is
// deleted by time, and deletion by size leaves at least the retention size, but less
// than one object more.
func TestStartOfAnyLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := retain.Partition{Tail: retain.Tail{MaxTimestamp: -1}}
		bounds := map[int64]bool{}
		var sum int64
		for range rapid.IntRange(0, 8).Draw(t, "objects") {
			o := written(l.TierEnd, l.TierEnd+rapid.Int64Range(1, 5).Draw(t, "records"), rapid.Int64Range(1, 9).Draw(t, "bytes"),
				rapid.Int64Range(-1, 30).Draw(t, "timestamp"), rapid.Int64Range(0, 30).Draw(t, "written"))
			l.Objects, l.TierEnd, sum = append(l.Objects, o), o.End, sum+o.Bytes
			bounds[o.End] = true
		}
		l.Tail.End = l.TierEnd
		if rapid.Bool().Draw(t, "tail") {
			l.Tail = retain.Tail{End: l.TierEnd + 3, Bytes: 7, MaxTimestamp: rapid.Int64Range(-1, 30).Draw(t, "tail timestamp")}
		}
		p := retain.Policy{Ms: rapid.Int64Range(-1, 20).Draw(t, "ms"), Bytes: rapid.Int64Range(-1, 40).Draw(t, "limit")}
		now := rapid.Int64Range(0, 60).Draw(t, "now")
		c, ok := p.Start(l, now)
		if !ok {
			if p.Bytes >= 0 && len(l.Objects) > 0 && sum+l.Tail.Bytes-l.Objects[0].Bytes >= p.Bytes {
				t.Fatalf("%+v kept all of %+v", p, l)
			}
			return
		}
		if !bounds[c.Start] && c.Start != l.Tail.End {
			t.Fatalf("%d is no boundary of %+v", c.Start, l)
		}
		var gone int64
		for _, o := range l.Objects {
			if o.End > c.Start {
				continue
			}
			if gone += o.Bytes; c.Reason == retain.ByTime && (p.Ms < 0 || o.NewestMs() >= now-p.Ms) && p.Bytes < 0 {
				t.Fatalf("%+v at %d deleted the young %+v", p, now, o)
			}
		}
		if left := sum + l.Tail.Bytes - gone; c.Reason == retain.BySize && left < p.Bytes {
			t.Fatalf("%+v left %d of %+v", p, left, l)
		}
		if c.Start > l.TierEnd && (p.Ms < 0 || l.Tail.MaxTimestamp < 0 || l.Tail.MaxTimestamp >= now-p.Ms) {
			t.Fatalf("%+v at %d deleted the tail of %+v", p, now, l)
		}
	})
}
