package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/pipeline"
)

// The response to a large request may be even larger. It is charged before the handler is
// called, and the request stays intact meanwhile.
func TestALargeRequestIsChargedItsLargerAnswer(t *testing.T) {
	const many, answer = 10_000, 50 << 20
	w := &wire{t: t, gate: &ledger{pipeline.NewBudget(256 << 20)}, over: make(chan error, 1)}
	charged, named := int64(0), 0
	api := API{Key: kmsg.Metadata.Int16(), Min: 0, Max: 9, Answer: func(r kmsg.Request) int64 { return answer },
		Handler: HandlerFunc(func(_ context.Context, r *Request) kmsg.Response {
			charged = w.gate.InUse()
			for i, topic := range r.Body.(*kmsg.MetadataRequest).Topics {
				if *topic.Topic == fmt.Sprint("topic-", i) {
					named++
				}
			}
			return r.Body.ResponseKind()
		})}
	var err error
	if w.server, err = NewServer(DefaultServerConfig(), nobody, []API{api}, w.gate, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err != nil {
		t.Fatal(err)
	}
	w.connect()
	defer func() {
		w.nc.Close()
		if err := w.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if n := w.gate.InUse(); n != 0 {
			t.Errorf("%d bytes were never refunded", n)
		}
	}()
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(9)
	for i := range many {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: ptr(fmt.Sprint("topic-", i))})
	}
	w.send(req, 1)
	if id, _ := w.receive(); id != 1 {
		t.Fatalf("got the response to request %d", id)
	}
	if charged < answer || named != many {
		t.Errorf("charged %d bytes for a response of %d; %d of %d topics are in the request", charged, answer, named, many)
	}
}
