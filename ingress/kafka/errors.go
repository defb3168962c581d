package kafka

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// Coder maps an error to the Kafka error code for the client, as [fault.Code] does. It returns
// 0 for nil.
type Coder func(error) int16

// noticed logs errors without a Kafka code, at most one a second: clients see only a generic
// code, so the log has to say what went wrong.
func noticed(log *slog.Logger) Coder {
	var last atomic.Int64 // Unix seconds
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

// refuse returns an error that is sent as code. text tells the user what to do.
func refuse(code *kerr.Error, text string) error { return fault.Refused(code, text) }

// message returns err's text for the error_message of a response; nil for nil.
func message(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	return &text
}
