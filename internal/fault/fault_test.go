package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

var (
	errAway    = fault.Transient(kerr.KafkaStorageError, "away")
	errLarge   = fault.Refused(kerr.MessageTooLarge, "too large")
	errDamaged = fault.Lost(kerr.CorruptMessage, "damaged")
	errSum     = fault.Kind(errDamaged, kerr.InvalidRecord, "checksum")
)

func TestTheOutermostFaultCounts(t *testing.T) {
	for _, c := range []struct {
		err   error
		class fault.Class
		code  *kerr.Error
	}{
		{errAway, fault.ClassTransient, kerr.KafkaStorageError},
		{fmt.Errorf("put: %w", errLarge), fault.ClassRefused, kerr.MessageTooLarge},
		{fmt.Errorf("%w: %w", errAway, errDamaged), fault.ClassTransient, kerr.KafkaStorageError},
		{errors.Join(errors.New("else"), errDamaged), fault.ClassLost, kerr.CorruptMessage},
		{errSum, fault.ClassLost, kerr.InvalidRecord},
		{fmt.Errorf("read: %w", context.Canceled), fault.Unknown, kerr.RequestTimedOut},
		{fmt.Errorf("%w: %w", context.DeadlineExceeded, errAway), fault.ClassTransient, kerr.KafkaStorageError},
		{errors.New("surprise"), fault.Unknown, kerr.UnknownServerError},
	} {
		if class, code := fault.ClassOf(c.err), fault.Code(c.err); class != c.class || code != c.code.Code {
			t.Errorf("%v: class %d, code %d; want %d, %d", c.err, class, code, c.class, c.code.Code)
		}
	}
	if fault.Code(nil) != 0 || fault.ClassOf(nil) != fault.Unknown {
		t.Error("nil has a code or a class")
	}
	if !errors.Is(errSum, errDamaged) || errors.Is(errDamaged, errSum) || errSum.Error() != "damaged: checksum" {
		t.Errorf("%v", errSum)
	}
}
