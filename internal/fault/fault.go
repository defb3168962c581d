// Package fault defines errors that say what their receiver can do about them: a class for our
// own code, and a Kafka error code for clients.
//
// A sentinel is declared with Transient, Refused or Lost, and wrapped with fmt.Errorf like any
// other error. The outermost in a chain counts, and the first of several wrapped by one Errorf.
package fault

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Class says whether a retry can help.
type Class uint8

const (
	// Unknown: the error is not a Fault.
	Unknown Class = iota
	// ClassTransient: a later retry may succeed.
	ClassTransient
	// ClassRefused: a retry cannot succeed until the request or a setting changes.
	ClassRefused
	// ClassLost: stored data is missing or damaged.
	ClassLost
)

// Fault is an error with a class and a code. Error types with further data implement it.
type Fault interface {
	error
	Class() Class
	KafkaCode() int16
}

type sentinel struct {
	text  string
	class Class
	code  int16
	kind  error // also matched by errors.Is; may be nil
}

func (s *sentinel) Error() string    { return s.text }
func (s *sentinel) Class() Class     { return s.class }
func (s *sentinel) KafkaCode() int16 { return s.code }
func (s *sentinel) Unwrap() error    { return s.kind }

// Transient returns a sentinel for something that may succeed later.
func Transient(code *kerr.Error, text string) error {
	return &sentinel{text, ClassTransient, code.Code, nil}
}

// Refused returns a sentinel for something that cannot succeed until its request or a setting
// changes.
func Refused(code *kerr.Error, text string) error {
	return &sentinel{text, ClassRefused, code.Code, nil}
}

// Lost returns a sentinel for stored data that is missing or damaged.
func Lost(code *kerr.Error, text string) error { return &sentinel{text, ClassLost, code.Code, nil} }

// Kind returns a sentinel that matches kind with errors.Is, but has another code.
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

// Code returns the Kafka error code for a client: 0 for nil, REQUEST_TIMED_OUT if a context has
// ended, and UNKNOWN_SERVER_ERROR, which clients do not retry, for an error that is not a
// Fault.
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
