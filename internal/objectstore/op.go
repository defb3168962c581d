package objectstore

import "context"

// op is the purpose of a request.
type op int

const (
	opOther op = iota
	opPut
	opRead
	opSize
	opDelete
	ops
)

func (o op) String() string {
	return [...]string{"other", "put", "read", "size", "delete"}[o]
}

// waited reports whether somebody waits for the response; such requests go first.
func (o op) waited() bool { return o == opRead || o == opSize }

type opKey struct{}

func (o op) on(ctx context.Context) context.Context { return context.WithValue(ctx, opKey{}, o) }

func opOf(ctx context.Context) op {
	o, _ := ctx.Value(opKey{}).(op)
	return o
}
