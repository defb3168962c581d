package kafka

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/idempotence"
)

func TestProduceMakesOneSpan(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	c := newCluster(t, nil)
	c.deps.Tracer = provider.Tracer("test")
	orders := c.topic("orders", 2)
	b := batch(t, nil)
	serve := func(req kmsg.Request) {
		t.Helper()
		for _, api := range c.Table() {
			if api.Key == req.Key() {
				api.Handler.Serve(context.Background(), &Request{Key: req.Key(), Version: req.GetVersion(), ClientID: "till", Body: req}, func(Response) {})
			}
		}
	}
	serve(produceOf(12, -1, orders, b, b))
	c.settle = func(appends []flow.Append) error { appends[0].Err = idempotence.ErrOutOfOrder; return nil }
	serve(produceOf(12, -1, orders, b))
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 9
	serve(metadata) // not traced

	ended := spans.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans, want 2", len(ended))
	}
	good, bad := ended[0], ended[1]
	if good.Name() != "Produce" || good.SpanKind() != trace.SpanKindServer || good.Status().Code != otelcodes.Unset {
		t.Errorf("%s, kind %s, status %v", good.Name(), good.SpanKind(), good.Status())
	}
	for key, want := range map[string]attribute.Value{"messaging.client.id": attribute.StringValue("till"), "sluice.partitions": attribute.IntValue(2),
		"sluice.bytes": attribute.IntValue(2 * len(b)), "sluice.acks": attribute.IntValue(-1)} {
		set := attribute.NewSet(good.Attributes()...)
		if got, _ := set.Value(attribute.Key(key)); got != want {
			t.Errorf("%s is %v, want %v", key, got.String(), want.String())
		}
	}
	if s := bad.Status(); s.Code != otelcodes.Error || s.Description != kerr.OutOfOrderSequenceNumber.Error() {
		t.Errorf("status of a refused request: %v", s)
	}
}

// Without a tracer the handlers are not wrapped.
func TestNoTracerNoWrapping(t *testing.T) {
	c := newCluster(t, nil)
	h := fetchHandler{c}
	if got := traced(nil, h); got != Handler(h) {
		t.Errorf("%T", got)
	}
}
