// Package fault makes errors that say what their receiver can do about them: a class for
// the code that meets them, and a code of Kafka's protocol for clients.
//
// A sentinel is made with Transient, Refused or Lost where it is declared, and wrapped
// with fmt.Errorf as any other. Of several in one chain the outermost counts, and of
// those that one Errorf wraps the first.
package fault

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Class says whether trying again is of use.
type Class uint8

const (
	// Unknown: nobody said.
	Unknown Class = iota
	// ClassTransient: trying again later may work.
	ClassTransient
	// ClassRefused: trying again is of no use until the request or a setting changes.
	ClassRefused
	// ClassLost: what was stored is missing, or is not what was written.
	ClassLost
)

// Fault is an error with a class and a code. Types of errors that have more to say
// implement it.
type Fault interface {
	error
	Class() Class
	KafkaCode() int16
}

type sentinel struct {
	text  string
	class Class
	code  int16
	kind  error // what it is, too; may be nil
}

func (s *sentinel) Error() string    { return s.text }
func (s *sentinel) Class() Class     { return s.class }
func (s *sentinel) KafkaCode() int16 { return s.code }
func (s *sentinel) Unwrap() error    { return s.kind }

// Transient returns an error of something that may work later.
func Transient(code *kerr.Error, text string) error {
	return &sentinel{text, ClassTransient, code.Code, nil}
}

// Refused returns an error of something that does not work until its request or a setting
// changes.
func Refused(code *kerr.Error, text string) error {
	return &sentinel{text, ClassRefused, code.Code, nil}
}

// Lost returns an error of something stored that is missing or damaged.
func Lost(code *kerr.Error, text string) error { return &sentinel{text, ClassLost, code.Code, nil} }

// Kind returns an error that is kind for errors.Is, and has another code.
func Kind(kind error, code *kerr.Error, text string) error {
	return &sentinel{kind.Error() + ": " + text, ClassOf(kind), code.Code, kind}
}

// ClassOf returns the class of err.
func ClassOf(err error) Class {
	var f Fault
	if errors.As(err, &f) {
		return f.Class()
	}
	return Unknown
}

// Code returns the error code of Kafka's protocol that a client is told: 0 for nil,
// REQUEST_TIMED_OUT for a context that has ended, and UNKNOWN_SERVER_ERROR, which
// clients do not retry, for an error that is no Fault.
func Code(err error) int16 {
	var f Fault
	switch {
	case err == nil:
		return 0
	case errors.As(err, &f):
		return f.KafkaCode()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return kerr.RequestTimedOut.Code
	}
	return kerr.UnknownServerError.Code
}
