package compat

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

// address returns the broker's address.
func address(t *testing.T) string {
	t.Helper()
	a := os.Getenv("SLUICE_BROKER")
	if a == "" {
		t.Fatal("set SLUICE_BROKER to the address of a broker that runs, such as 127.0.0.1:9092")
	}
	return a
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// name returns a topic or group name that no earlier run has used.
func name(what string) string { return fmt.Sprintf("%s-%d", what, time.Now().UnixNano()) }

// message is a record as produced by the tests; see [messageOf].
type message struct{ key, value, header string }

func messageOf(i int) message {
	return message{fmt.Sprintf("key %d", i%11), fmt.Sprintf("value %d of a record that compresses, compresses well", i), fmt.Sprint(i)}
}

// same fails the test unless got consists of messages [from, to), in any order.
func same(t *testing.T, got []message, from, to int) {
	t.Helper()
	var want []message
	for i := from; i < to; i++ {
		want = append(want, messageOf(i))
	}
	compare := func(a, b message) int {
		return slices.Compare([]string{a.value, a.key, a.header}, []string{b.value, b.key, b.header})
	}
	slices.SortFunc(want, compare)
	got = slices.Clone(got)
	slices.SortFunc(got, compare)
	if !slices.Equal(got, want) {
		t.Fatalf("%d messages came back that are not the %d produced", len(got), len(want))
	}
}
