package pipelinetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluicemq/sluice/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDriveReturnsTheVerdictOfEachBody(t *testing.T) {
	odd := errors.New("odd")
	out, verdicts, err := Drive(t, pipeline.Each(func(_ context.Context, v int) (int, error) {
		if v%2 == 1 {
			return 0, odd
		}
		return v * 10, nil
	}), 2, 3, 4)
	if err != nil || !slices.Equal(out, []int{20, 40}) || !slices.Equal(verdicts, []error{nil, odd, nil}) {
		t.Errorf("got %v, %v, %v", out, verdicts, err)
	}
}

// recorder is a testing.TB that only records whether it failed.
type recorder struct {
	testing.TB
	failed int
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed++ }

func TestCheckReportsALeak(t *testing.T) {
	l := &Receipts{}
	l.Receipt().Settle(nil)
	l.Receipt()
	r := &recorder{}
	l.Check(r)
	if made, acked, nacked := l.Counts(); r.failed != 1 || made != 2 || acked != 1 || nacked != 0 {
		t.Errorf("%d failures, %d made, %d acked, %d nacked", r.failed, made, acked, nacked)
	}
}
