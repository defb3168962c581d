package replication

import (
	"errors"
	"fmt"
	"testing"
)

// live maps live brokers to their incarnations.
type live map[int32]uint64

func (l live) Live(b int32) (uint64, bool) { i, ok := l[b]; return i, ok }

func three() Record {
	return Record{Replicas: []int32{1, 2, 3}, Leader: 1, Epoch: 5, Version: 9, ISR: []int32{1, 2, 3}, MinISR: 2}
}

func (r Record) String() string {
	return fmt.Sprintf("leader %d, epoch %d, version %d, ISR %v, ELR %v", r.Leader, r.Epoch, r.Version, r.ISR, r.ELR)
}

// TestBrokersLeaveAndReturn takes a partition through losses of brokers, as specified in KIP-966.
func TestBrokersLeaveAndReturn(t *testing.T) {
	r := three()
	for _, step := range []struct {
		what string
		do   func(Record) Record
		want string
	}{
		{"a follower is lost", func(r Record) Record { return r.Fence(3, false, live{1: 1, 2: 1}) },
			"leader 1, epoch 5, version 10, ISR [1 2], ELR []"},
		{"it is lost again", func(r Record) Record { return r.Fence(3, false, live{1: 1, 2: 1}) },
			"leader 1, epoch 5, version 10, ISR [1 2], ELR []"},
		{"the leader is lost", func(r Record) Record { return r.Fence(1, false, live{2: 1}) },
			"leader 2, epoch 6, version 12, ISR [2], ELR [1]"},
		{"the last one is lost", func(r Record) Record { return r.Fence(2, false, live{}) },
			"leader -1, epoch 7, version 14, ISR [], ELR [1 2]"},
		{"one that lacks records returns", func(r Record) Record { return r.Unfence(live{3: 2}) },
			"leader -1, epoch 7, version 14, ISR [], ELR [1 2]"},
		{"one that is eligible returns", func(r Record) Record { return r.Unfence(live{1: 2, 3: 2}) },
			"leader 1, epoch 8, version 15, ISR [1], ELR [2]"},
		{"the other returns without its log", func(r Record) Record { return r.Fence(2, true, live{1: 2, 3: 2}) },
			"leader 1, epoch 8, version 16, ISR [1], ELR []"},
		{"the first to catch up joins", func(r Record) Record { return alter(t, r, Member{1, 2}, Member{3, 2}) },
			"leader 1, epoch 8, version 17, ISR [1 3], ELR []"},
		{"it falls behind", func(r Record) Record { return alter(t, r, Member{1, 2}) },
			"leader 1, epoch 8, version 18, ISR [1], ELR [3]"},
		{"a smaller min.insync.replicas is enough", func(r Record) Record { return r.SetMinISR(1) },
			"leader 1, epoch 8, version 19, ISR [1], ELR []"},
	} {
		r = step.do(r)
		if got := r.String(); got != step.want {
			t.Fatalf("%s: %s\nwant %s", step.what, got, step.want)
		}
	}
}

func alter(t *testing.T, r Record, isr ...Member) Record {
	t.Helper()
	next, err := r.AlterISR(ISRChange{Leader: r.Leader, Epoch: r.Epoch, Version: r.Version, ISR: isr}, live{1: 2, 2: 2, 3: 2})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestChangesThatAreRefused(t *testing.T) {
	r := three()
	r.ISR = []int32{1, 2}
	brokers := live{1: 1, 2: 1, 3: 4}
	change := func(edit func(*ISRChange)) error {
		c := ISRChange{Leader: 1, Epoch: 5, Version: 9, ISR: []Member{{1, 1}, {2, 1}, {3, 4}}}
		edit(&c)
		next, err := r.AlterISR(c, brokers)
		if err != nil && next.String() != r.String() {
			t.Errorf("%v, and changed to %v", err, next)
		}
		return err
	}
	for name, tt := range map[string]struct {
		edit func(*ISRChange)
		want error
	}{
		"as it is":              {func(*ISRChange) {}, nil},
		"older epoch":           {func(c *ISRChange) { c.Epoch = 4 }, ErrStaleEpoch},
		"another leader":        {func(c *ISRChange) { c.Leader = 2 }, ErrStaleEpoch},
		"older version":         {func(c *ISRChange) { c.Version = 8 }, ErrStaleVersion},
		"earlier incarnation":   {func(c *ISRChange) { c.ISR[2].Incarnation = 3 }, ErrIneligible},
		"a broker that is dead": {func(c *ISRChange) { c.ISR[2].Broker = 9 }, ErrIneligible},
		"no replica":            {func(c *ISRChange) { brokers[4] = 1; c.ISR[2] = Member{4, 1} }, ErrIneligible},
		"twice":                 {func(c *ISRChange) { c.ISR[2] = Member{2, 1} }, ErrIneligible},
		"without the leader":    {func(c *ISRChange) { c.ISR = c.ISR[1:] }, ErrIneligible},
	} {
		if err := change(tt.edit); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	for name, do := range map[string]func() (Record, error){
		"transfer out of the ISR": func() (Record, error) { return r.Transfer(3, brokers) },
		"transfer to a dead one":  func() (Record, error) { return r.Transfer(2, live{1: 1}) },
		"unclean, dead":           func() (Record, error) { return r.ElectUnclean(3, live{}) },
		"unclean, no replica":     func() (Record, error) { return r.ElectUnclean(4, brokers) },
	} {
		if next, err := do(); !errors.Is(err, ErrIneligible) || next.String() != r.String() {
			t.Errorf("%s: %v, %v", name, next, err)
		}
	}
	if next, err := r.Transfer(2, brokers); err != nil || next.String() != "leader 2, epoch 6, version 10, ISR [1 2], ELR []" {
		t.Errorf("transfer: %v, %v", next, err)
	}
	if next, err := r.ElectUnclean(3, brokers); err != nil || next.String() != "leader 3, epoch 6, version 10, ISR [3], ELR []" {
		t.Errorf("unclean election: %v, %v", next, err)
	}
	r.TierEnd = 10
	for name, tt := range map[string]struct {
		epoch     int32
		base, end int64
		want      error
	}{
		"stale":    {4, 10, 20, ErrStaleEpoch},
		"gap":      {5, 11, 20, ErrTierBase},
		"overlap":  {5, 9, 20, ErrTierBase},
		"nothing":  {5, 10, 10, ErrTierBase},
		"the next": {5, 10, 20, nil},
	} {
		if next, err := r.CommitTier(tt.epoch, tt.base, tt.end); !errors.Is(err, tt.want) || err == nil && next.TierEnd != 20 || err != nil && next.TierEnd != 10 {
			t.Errorf("%s: %v, tier end %d", name, err, next.TierEnd)
		}
	}
}
