package fetch

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// describe records in the request's span what was read, with an event per partition that names
// the tier.
func (p *poll) describe(span trace.Span) {
	bytes := 0
	for i := range p.answers {
		a := &p.answers[i]
		if a.code != 0 {
			span.SetStatus(codes.Error, kerr.ErrorForCode(a.code).Error())
		}
		if a.read == nil {
			continue
		}
		bytes += a.read.Bytes
		span.AddEvent("read", trace.WithAttributes(
			attribute.String("sluice.source", a.read.Source.String()),
			attribute.String("sluice.topic", a.slot.topic.name), attribute.String("sluice.topic_id", a.read.State.ID.Topic.String()),
			attribute.Int("sluice.partition", int(a.slot.index)), attribute.Int64("sluice.offset", a.read.Offset),
			attribute.Int("sluice.bytes", a.read.Bytes), attribute.Float64("sluice.seconds", a.read.Took.Seconds())))
	}
	span.SetAttributes(attribute.Int("sluice.partitions", len(p.slots)), attribute.Int("sluice.bytes", bytes),
		attribute.Int("sluice.max_wait_ms", int(p.asked.wait.Milliseconds())), attribute.Int("sluice.min_bytes", p.asked.minBytes))
}
