package e2e

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configured returns the non-default configs of a resource, and its error.
func (b *broker) configured(kind kmsg.ConfigResourceType, name string) (map[string]string, error) {
	b.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: []string{}}}
	resp, err := req.RequestWith(deadline(b.t), b.client())
	if err != nil {
		b.t.Fatal(err)
	}
	set := make(map[string]string)
	for _, c := range resp.Resources[0].Configs {
		if c.Source != kmsg.ConfigSourceDefaultConfig && c.Value != nil {
			set[c.Name] = *c.Value
		}
	}
	return set, kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

// alter sets one config of a resource.
func (b *broker) alter(kind kmsg.ConfigResourceType, name, key, value string) error {
	b.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kind, ResourceName: name,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Value: &value}}}}
	resp, err := req.RequestWith(deadline(b.t), b.client())
	if err != nil {
		b.t.Fatal(err)
	}
	return kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

// Config values that Kafka accepts are stored in the form in which Kafka shows them, and survive a
// restart. Values that Kafka refuses change nothing.
func TestTopicConfigsAreKeptAsKafkaShowsThem(t *testing.T) {
	const topics = kmsg.ConfigResourceTypeTopic
	b := newBroker(t)
	b.must("", "topic", "create", "orders.new", "--partitions", "1", "--config", "retention.ms= 1000 ", "--config", "max.decompressed.message.bytes=1000")
	want := map[string]string{"retention.ms": "1000", "max.decompressed.message.bytes": "1000"}
	for _, c := range []struct{ key, value, kept string }{
		{"cleanup.policy", "", ""}, {"min.cleanable.dirty.ratio", ".5", "0.5"}, {"preallocate", "TRUE", "true"}, {"local.retention.ms", "700000000", "700000000"},
		{"errors.deadletterqueue.group.enable", "true", "true"}, {"follower.replication.throttled.replicas", "0:1, 1:1", "0:1,1:1"},
		{"leader.replication.throttled.replicas", "*", "*"}, {"remote.copy.lag.bytes", "5", "5"}, {"remote.copy.lag.ms", "-1", "-1"},
		{"remote.log.copy.disable", "true", "true"}, {"remote.log.delete.on.disable", "true", "true"}, {"unclean.leader.election.enable", "true", "true"},
	} {
		if err := b.alter(topics, "orders.new", c.key, c.value); err != nil {
			t.Errorf("%s=%q: %v", c.key, c.value, err)
		}
		want[c.key] = c.kept
	}
	for _, c := range [][2]string{{"segment.bytes", "1048575"}, {"max.decompressed.message.bytes", "0"}, {"leader.replication.throttled.replicas", "none"}, {"cleanup.policy", ","}} {
		if err := b.alter(topics, "orders.new", c[0], c[1]); err != kerr.InvalidConfig {
			t.Errorf("%s=%q: %v", c[0], c[1], err)
		}
	}
	for _, when := range []string{"set", "after a restart"} {
		got, err := b.configured(topics, "orders.new")
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: %v, %q", when, err, got)
		}
		for key, value := range want {
			if kept, ok := got[key]; !ok || kept != value {
				t.Errorf("%s: %s is %q, want %q", when, key, kept, value)
			}
		}
		b.kill()
		b.start()
	}
	if _, errs, code := b.sluice("", "topic", "create", "orders_new"); code == 0 || !strings.Contains(errs, "orders.new") {
		t.Errorf("a name like another: exit %d, %s", code, errs)
	}
	if _, errs, code := b.sluice("", "topic", "create", "__consumer_offsets"); code == 0 {
		t.Errorf("a name of Kafka's own: exit %d, %s", code, errs)
	}
}

// warned sends a request that causes a warning, and waits until the broker closes the connection.
func (b *broker) warned() {
	b.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t", ConfigNames: make([]string, 10_001)}}
	conn := b.dial().conn
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 0)); err != nil {
		b.t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		b.t.Fatalf("a request that names too much was not refused: %v", err)
	}
}

// A client can read and change the log level of a running broker.
func TestTheLogLevelOfARunningBroker(t *testing.T) {
	const loggers = kmsg.ConfigResourceTypeBrokerLogger
	b := newBroker(t)
	brokers, err := b.admins().ListBrokers(deadline(t))
	if err != nil || len(brokers) != 1 {
		t.Fatal(brokers, err)
	}
	id := strconv.Itoa(int(brokers[0].NodeID))
	level := func() string {
		t.Helper()
		got, err := b.configured(loggers, id)
		if err != nil {
			t.Fatal(err)
		}
		return got["root"]
	}
	if got := level(); got != "WARN" {
		t.Errorf("at first the level is %q", got)
	}
	if err := b.alter(loggers, id, "root", "ERROR"); err != nil || level() != "ERROR" {
		t.Errorf("the level is %q: %v", level(), err)
	}
	const warning = "request lists too many elements"
	b.warned() // logs nothing
	if err := b.alter(loggers, id, "root", "DEBUG"); err != nil || level() != "DEBUG" {
		t.Errorf("the level is %q: %v", level(), err)
	}
	b.warned()
	b.logs(warning) // all earlier lines are there, too
	if log := b.log.String(); strings.Count(log, warning) != 1 || strings.Count(log, "log level changed") != 2 {
		t.Errorf("one warning and two changes of the level are expected:\n%s", tail(log, 3000))
	}
}

// logs waits until the broker has logged text.
func (b *broker) logs(text string) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := deadline(b.t); !strings.Contains(b.log.String(), text); {
		select {
		case <-tick.C:
		case <-end.Done():
			b.t.Fatalf("%q is not in the log", text)
		}
	}
}

// A topic named twice in one request is left as it is; the request applies to its other topics.
func TestTopicsThatOneRequestNamesTwice(t *testing.T) {
	b := newBroker(t)
	cl := b.client()
	creation := kmsg.NewPtrCreateTopicsRequest()
	creation.TimeoutMillis = 30_000
	for _, name := range []string{"twice", "twice", "a", "b"} {
		c := kmsg.NewCreateTopicsRequestTopic()
		c.Topic, c.NumPartitions, c.ReplicationFactor = name, 1, 1
		creation.Topics = append(creation.Topics, c)
	}
	made, err := creation.RequestWith(deadline(t), cl)
	if err != nil {
		t.Fatal(err)
	}
	codes := make(map[string]error)
	for _, m := range made.Topics {
		codes[m.Topic] = kerr.ErrorForCode(m.ErrorCode)
	}
	if len(made.Topics) != 3 || codes["twice"] != kerr.InvalidRequest || codes["a"] != nil || codes["b"] != nil {
		t.Errorf("created: %v", codes)
	}
	growth := kmsg.NewPtrCreatePartitionsRequest()
	growth.TimeoutMillis = 30_000
	growth.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 2}, {Topic: "b", Count: 3}, {Topic: "a", Count: 4}}
	if grown, err := growth.RequestWith(deadline(t), cl); err != nil || len(grown.Topics) != 2 {
		t.Errorf("grown: %+v, %v", grown, err)
	}
	topics, err := b.admins().ListTopics(deadline(t))
	if err != nil || topics.Has("twice") || len(topics["a"].Partitions) != 1 || len(topics["b"].Partitions) != 3 {
		t.Errorf("after that: %v, %v", topics, err)
	}
	doom := kmsg.NewPtrDeleteTopicsRequest()
	doom.TimeoutMillis = 30_000
	for _, name := range []string{"a", "b", "a"} {
		doom.Topics = append(doom.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &name})
	}
	if gone, err := doom.RequestWith(deadline(t), cl); err != nil || len(gone.Topics) != 2 {
		t.Errorf("deleted: %+v, %v", gone, err)
	}
	if topics, err = b.admins().ListTopics(deadline(t)); err != nil || !topics.Has("a") || topics.Has("b") {
		t.Errorf("in the end: %v, %v", topics, err)
	}
}
