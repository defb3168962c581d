package kafka

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// Coder turns an error into the Kafka error code that a client acts on, as [fault.Code]
// does. It returns 0 for nil.
type Coder func(error) int16

// noticed logs errors that code does not know, at most one a second: clients see
// only that something is wrong, so somebody else has to see what.
func noticed(log *slog.Logger) Coder {
	var last atomic.Int64 // seconds since epoch
	return func(err error) int16 {
		c := fault.Code(err)
		if c != kerr.UnknownServerError.Code || fault.ClassOf(err) == fault.ClassRefused {
			return c
		}
		if now, before := time.Now().Unix(), last.Load(); now != before && last.CompareAndSwap(before, now) {
			log.Error("a request failed with an error that has no Kafka code", "error", err)
		}
		return c
	}
}

// refuse returns an error of a handler's own, which is sent as code. text says what to do.
func refuse(code *kerr.Error, text string) error { return fault.Refused(code, text) }

// message returns err's text for the error_message of a response; nil for nil.
func message(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	return &text
}
