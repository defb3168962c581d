package fetch

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// The span of a fetch has an event for each read that says which tier served it.
func TestSpanSaysWhereEachReadWasServed(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	b := newBroker(t, nil)
	orders := b.topic("orders", 3)
	b.append(orders, 0, 100)
	b.append(orders, 2, 10)
	ctx, span := tracer.Start(context.Background(), "Fetch")
	_, release := b.fetchHeld(ctx, request(12, 0, -1, at{t: orders}, at{t: orders, index: 1}, at{t: orders, index: 2}))
	release()
	span.End()

	got := map[int64]int64{} // partition to bytes
	events := spans.Ended()[0].Events()
	if len(events) == 0 || events[0].Name != "due" {
		t.Fatalf("events %v", events)
	}
	for _, e := range events[1:] {
		set := attribute.NewSet(e.Attributes...)
		source, _ := set.Value("sluice.source")
		name, _ := set.Value("sluice.topic")
		if e.Name != "read" || source.AsString() != "write_cache" || name.AsString() != "orders" {
			t.Errorf("event %s: %v", e.Name, e.Attributes)
		}
		p, _ := set.Value("sluice.partition")
		n, _ := set.Value("sluice.bytes")
		got[p.AsInt64()] = n.AsInt64()
	}
	if len(got) != 2 || got[0] != 100 || got[2] != 10 {
		t.Errorf("bytes by partition: %v", got)
	}
}
