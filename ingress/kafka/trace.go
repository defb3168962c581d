package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// traced starts a span for each request that h serves and puts it into the handler's context.
// The span ends when the response is ready. Without a tracer it returns h.
func traced(t trace.Tracer, h Handler) Handler {
	if t == nil {
		return h
	}
	return &tracedHandler{t, h}
}

type tracedHandler struct {
	tracer trace.Tracer
	next   Handler
}

// Serve implements Handler.
func (h *tracedHandler) Serve(ctx context.Context, r *Request, reply func(Response)) {
	name := kmsg.NameForKey(r.Key)
	ctx, span := h.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		span.SetAttributes(attribute.String("messaging.system", "kafka"), attribute.String("messaging.operation.name", name),
			attribute.String("messaging.client.id", r.ClientID), attribute.Int("sluice.api_version", int(r.Version)))
	}
	h.next.Serve(ctx, r, func(resp Response) {
		span.End()
		reply(resp)
	})
}

// describe records in the span what was produced and the outcome.
func (p *produce) describe() {
	bytes, duplicates := 0, 0
	for i := range p.appends {
		bytes += len(p.appends[i].Batch)
		if p.appends[i].Duplicate {
			duplicates++
		}
	}
	p.span.SetAttributes(attribute.Int("sluice.acks", int(p.req.Acks)), attribute.Int("sluice.partitions", len(p.out)),
		attribute.Int("sluice.bytes", bytes), attribute.Int("sluice.duplicates", duplicates))
	if !p.refused {
		return
	}
	for i := range p.out {
		if err := kerr.ErrorForCode(p.out[i].ErrorCode); err != nil {
			p.span.SetStatus(otelcodes.Error, err.Error())
			return
		}
	}
}
