//go:build oracle

package oracle

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// scenario is a list of requests about one API, sent by run.
type scenario struct {
	name string
	key  int16 // the API under test, played in each of its versions
	run  func(*play)
}

// answer is a broker's flattened response in one step.
type answer struct {
	step   string
	leaves map[string]string
}

// play is one run of a scenario against one broker.
type play struct {
	t       testing.TB
	side    *side
	shared  map[int16]span
	key     int16
	version int16
	prefix  string
	conn    *conn
	seen    *aliases
	answers []answer
	narrow  bool // record only responses of the API under test
}

// newPlay returns a play of a scenario in one version of its API.
func newPlay(t testing.TB, s *side, shared map[int16]span, sc scenario, version int16) *play {
	prefix := fmt.Sprintf("%s%s-%d-", anyPrefix, sc.name, version)
	return &play{t: t, side: s, shared: shared, key: sc.key, version: version, prefix: prefix,
		seen: &aliases{prefix: prefix, port: s.port, cluster: s.clusterID, ids: map[string]string{}}}
}

// name returns s, the name of a topic or group, with the play's prefix.
func (p *play) name(s string) string { return p.prefix + s }

func (p *play) close() {
	if p.conn != nil {
		p.conn.close()
	}
}

func (p *play) dial() *conn {
	p.t.Helper()
	c, err := dial(p.t.Context(), p.side.addr)
	if err != nil {
		p.t.Fatalf("%s: %v", p.side.name, err)
	}
	return c
}

// prepare sets the version of req: the play's for the API under test, else the newest shared one.
func (p *play) prepare(req kmsg.Request) {
	switch r, ok := p.shared[req.Key()]; {
	case req.Key() == p.key:
		req.SetVersion(p.version)
	case ok:
		req.SetVersion(r.max)
	default:
		p.t.Fatalf("nobody announces %s", kmsg.NameForKey(req.Key()))
	}
}

// exchange sends a request over the play's connection, opening it if necessary.
func (p *play) exchange(req kmsg.Request) (kmsg.Response, error) {
	if p.conn == nil {
		p.conn = p.dial()
	}
	resp, err := p.conn.ask(req)
	if err != nil {
		p.conn.close()
		p.conn = nil
	}
	return resp, err
}

// do sends a request and records the response under the name of a step. It returns nil if there
// is no response or it cannot be decoded.
func (p *play) do(step string, req kmsg.Request) kmsg.Response {
	p.t.Helper()
	p.prepare(req)
	resp, err := p.exchange(req)
	if !p.narrow || req.Key() == p.key {
		p.record(step, resp, err)
	}
	if err != nil {
		return nil
	}
	return resp
}

// at is like do, but with a version that need not be advertised.
func (p *play) at(step string, version int16, req kmsg.Request) kmsg.Response {
	p.t.Helper()
	req.SetVersion(version)
	resp, err := p.exchange(req)
	p.record(step, resp, err)
	if err != nil {
		return nil
	}
	return resp
}

func (p *play) record(step string, resp kmsg.Response, err error) {
	p.t.Helper()
	for _, a := range p.answers {
		if a.step == step {
			p.t.Fatalf("two steps are named %q", step)
		}
	}
	leaves := map[string]string{"answer": outcome(err)}
	if err == nil {
		leaves = p.seen.flatten(resp)
	}
	p.answers = append(p.answers, answer{step, leaves})
}

func outcome(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return "answered"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "none"
	case strings.Contains(err.Error(), "cannot be decoded"), strings.Contains(err.Error(), "answer "), strings.Contains(err.Error(), "tags"):
		return err.Error()
	}
	return "closed"
}

// start sends a request over a separate connection, since it may block until others arrive. end
// waits for the response and records it.
func (p *play) start(step string, req kmsg.Request) (end func() kmsg.Response) {
	p.t.Helper()
	p.prepare(req)
	c := p.dial()
	type result struct {
		resp kmsg.Response
		err  error
	}
	done := make(chan result, 1)
	go func() {
		defer c.close()
		resp, err := c.ask(req)
		done <- result{resp, err}
	}()
	return func() kmsg.Response {
		r := <-done
		if !p.narrow || req.Key() == p.key {
			p.record(step, r.resp, r.err)
		}
		if r.err != nil {
			return nil
		}
		return r.resp
	}
}

// unanswered sends a request that has no response and then another on the same connection. It
// records which of the two was answered first, if any.
func (p *play) unanswered(step string, req kmsg.Request) {
	p.t.Helper()
	p.prepare(req)
	c := p.dial()
	defer c.close()
	first, err := c.send(req)
	said := "closed"
	if err == nil {
		if _, err = c.send(kmsg.NewPtrApiVersionsRequest()); err == nil {
			if got, _, err := c.receive(); err == nil && got == first {
				said = "answered"
			} else if err == nil {
				said = "not answered, the next is"
			}
		}
	}
	p.answers = append(p.answers, answer{step, map[string]string{"answer": said}})
}

// until repeats a request until its response is as wanted, without recording it.
func (p *play) until(req kmsg.Request, wanted func(kmsg.Response) bool) kmsg.Response {
	p.t.Helper()
	p.prepare(req)
	for end := time.Now().Add(answerIn); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if resp, err := p.exchange(req); err == nil && wanted(resp) {
			return resp
		}
	}
	p.t.Fatalf("%s: %s is not answered as the scenario needs it", p.side.name, kmsg.NameForKey(req.Key()))
	return nil
}

// config returns topic settings from alternating names and values.
func config(pairs ...string) (out []kmsg.CreateTopicsRequestTopicConfig) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, kmsg.CreateTopicsRequestTopicConfig{Name: pairs[i], Value: &pairs[i+1]})
	}
	return out
}

// topic creates a topic and waits until all partitions are usable.
func (p *play) topic(short string, partitions int32, configs ...string) (name string, id [16]byte) {
	p.t.Helper()
	name = p.name(short)
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor, topic.Configs = name, partitions, 1, config(configs...)
	req.Topics = append(req.Topics, topic)
	p.until(req, func(r kmsg.Response) bool {
		code := r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode
		if code != 0 && code != 36 {
			p.t.Fatalf("%s: set-up of %s: %s", p.side.name, name, errorName(code))
		}
		return true
	})
	offsets := kmsg.NewPtrListOffsetsRequest()
	offsets.Topics = listOffsets(name, partitions, -1)
	p.until(offsets, func(r kmsg.Response) bool {
		for _, part := range r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
			if part.ErrorCode != 0 {
				return false
			}
		}
		return true
	})
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
	resp := p.until(metadata, func(r kmsg.Response) bool { return r.(*kmsg.MetadataResponse).Topics[0].ErrorCode == 0 })
	id = resp.(*kmsg.MetadataResponse).Topics[0].TopicID
	p.seen.topic(short, id)
	return name, id
}

func listOffsets(name string, partitions int32, timestamp int64) []kmsg.ListOffsetsRequestTopic {
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = name
	for i := range partitions {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = i, timestamp
		topic.Partitions = append(topic.Partitions, part)
	}
	return []kmsg.ListOffsetsRequestTopic{topic}
}
