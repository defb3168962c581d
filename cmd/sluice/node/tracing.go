package node

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluicemq/sluice/config"
)

// tracing sends spans in the background. If the receiver is slow or down they are dropped; no
// request waits for it. A nil tracing makes none.
type tracing struct{ provider *sdktrace.TracerProvider }

func openTracing(cfg config.Tracing, broker int32) (*tracing, error) {
	if cfg.OTLPEndpoint == "" {
		return nil, nil
	}
	// The connection is made when there is something to send.
	exporter, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpointURL(cfg.OTLPEndpoint))
	if err != nil {
		return nil, fmt.Errorf("tracing to %s: %w", cfg.OTLPEndpoint, err)
	}
	about := resource.NewSchemaless(attribute.String("service.name", "sluice"), attribute.Int("service.instance.id", int(broker)))
	return &tracing{sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.SampleRatio))))}, nil
}

func (t *tracing) tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer("github.com/sluicemq/sluice")
}

// close sends the remaining spans, until ctx ends.
func (t *tracing) close(ctx context.Context, log *slog.Logger) {
	if t == nil {
		return
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("cannot send the last spans", "err", err)
	}
}
