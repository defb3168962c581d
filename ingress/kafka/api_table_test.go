package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/idempotence"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

func TestTableIsSortedAndWithinWhatCanBeEncoded(t *testing.T) {
	last := int16(-1)
	for _, api := range newCluster(t, nil).Table() {
		name := kmsg.NameForKey(api.Key)
		if api.Key <= last {
			t.Errorf("%s is not in order", name)
		}
		last = api.Key
		if known := kmsg.RequestForKey(api.Key).MaxVersion(); api.Min < 0 || api.Min > api.Max || api.Max > known {
			t.Errorf("%s: versions %d to %d, kmsg knows up to %d", name, api.Min, api.Max, known)
		}
		if api.Handler == nil {
			t.Errorf("%s has no handler", name)
		}
	}
}

// Calls every version of every API with a request that has an element in every list, for an
// existing topic and an unknown one.
func TestEveryVersionOfEveryAPIAnswers(t *testing.T) {
	for _, api := range newCluster(t, nil).Table() {
		for version := api.Min; version <= api.Max; version++ {
			t.Run(fmt.Sprintf("%s/%d", kmsg.NameForKey(api.Key), version), func(t *testing.T) {
				c := newCluster(t, func(cfg *APIConfig) { cfg.AutoCreateTopics = true })
				orders := c.topic("orders", 2)
				for _, name := range []string{"orders", "new"} {
					req := kmsg.RequestForKey(api.Key)
					fill(reflect.ValueOf(req).Elem(), name, orders.ID)
					if p, ok := req.(*kmsg.ProduceRequest); ok {
						p.Acks, p.TransactionID = -1, nil
						p.Topics[0].Partitions[0].Records = batch(t, nil)
					}
					req.SetVersion(version)
					resp := call[kmsg.Response](c, req)
					if resp.GetVersion() != version {
						t.Errorf("the response has version %d", resp.GetVersion())
					}
				}
			})
		}
	}
}

// fill puts one element into every list, name into every string, and id into every topic id.
func fill(v reflect.Value, name string, id topic.ID) {
	if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
		d.Default()
	}
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case v.Type().Field(i).Name == "UnknownTags" || !f.CanSet():
		case f.Type() == reflect.TypeFor[[16]byte]():
			f.Set(reflect.ValueOf([16]byte(id)))
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			one := reflect.MakeSlice(f.Type(), 1, 1)
			fill(one.Index(0), name, id)
			f.Set(one)
		case f.Type() == reflect.TypeFor[[]string]():
			f.Set(reflect.ValueOf([]string{name}))
		case f.Type() == reflect.TypeFor[[]int32]():
			f.Set(reflect.ValueOf([]int32{1}))
		case f.Kind() == reflect.String:
			f.SetString(name)
		case f.Type() == reflect.TypeFor[*string]():
			f.Set(reflect.ValueOf(&name))
		}
	}
}

func TestRequestsThatNameTooMuchCloseTheirConnection(t *testing.T) {
	c := newCluster(t, func(cfg *APIConfig) { cfg.RequestPartitions = 10 })
	req := kmsg.NewPtrMetadataRequest()
	for range 11 {
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: ptr("t")})
	}
	if r := c.serve(req); !r.Silent || !r.Close {
		t.Errorf("11 topics of 10: %+v", r)
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version = 18
	fetch.Topics = []kmsg.FetchRequestTopic{{Partitions: make([]kmsg.FetchRequestTopicPartition, 10)}}
	if r := c.serve(fetch); !r.Silent || !r.Close {
		t.Errorf("a topic and 10 partitions: %+v", r)
	}
	few := newCluster(t, func(cfg *APIConfig) { cfg.RequestChanges = 2 })
	if r := few.serve(create(7, creation("a", nil), creation("b", nil), creation("c", nil))); !r.Silent || !r.Close {
		t.Errorf("3 changes of 2: %+v", r)
	}
	req.Topics = req.Topics[:10]
	if r := c.serve(req); r.Silent {
		t.Errorf("10 topics of 10: %+v", r)
	}
}

func TestErrorsAreSentAsWhatClientsActOn(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int16
	}{
		{nil, 0},
		{errOutside, kerr.InvalidTimestamp.Code},
		{fmt.Errorf("p: %w", meta.ErrUnknownTopic), kerr.UnknownTopicOrPartition.Code},
		{lookup.ErrNotLeader, kerr.NotLeaderForPartition.Code},
		{fmt.Errorf("b: %w", record.ErrTooLarge), kerr.MessageTooLarge.Code},
		{record.ErrCorrupt, kerr.CorruptMessage.Code},
		{idempotence.ErrOutOfOrder, kerr.OutOfOrderSequenceNumber.Code},
		{idempotence.ErrFenced, kerr.InvalidProducerEpoch.Code},
		{errors.Join(errors.New("x"), pipeline.ErrDraining), kerr.NotLeaderForPartition.Code},
		{meta.ErrUnavailable, kerr.RequestTimedOut.Code},
		{context.DeadlineExceeded, kerr.RequestTimedOut.Code},
		{fmt.Errorf("c: %w", topic.ErrInvalidConfig), kerr.InvalidConfig.Code},
		{refuse(kerr.PolicyViolation, "no"), kerr.PolicyViolation.Code},
		{errors.New("surprise"), kerr.UnknownServerError.Code},
	} {
		if got := fault.Code(tt.err); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestErrorsWithoutACodeAreLoggedButNotOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		code := noticed(slog.New(slog.NewTextHandler(&out, nil)))
		code(meta.ErrConflict)
		for range 100 {
			code(errors.New("surprise"))
		}
		time.Sleep(time.Second)
		code(errors.New("another"))
		if n := strings.Count(out.String(), "\n"); n != 2 || !strings.Contains(out.String(), "surprise") || !strings.Contains(out.String(), "another") {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
	})
}

func TestAPIConfigValidate(t *testing.T) {
	if err := DefaultAPIConfig().Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*APIConfig){
		"partitions":         func(c *APIConfig) { c.Partitions = 0 },
		"more than a topic":  func(c *APIConfig) { c.Partitions = c.TopicPartitions + 1 },
		"replication":        func(c *APIConfig) { c.Replication = 0 },
		"cluster":            func(c *APIConfig) { c.ClusterPartitions = c.TopicPartitions - 1 },
		"request partitions": func(c *APIConfig) { c.RequestPartitions = 0 },
		"request changes":    func(c *APIConfig) { c.RequestChanges = 0 },
		"changes":            func(c *APIConfig) { c.Changes = 0 },
		"timeout":            func(c *APIConfig) { c.ChangeTimeout = 0 },
		"producer ids":       func(c *APIConfig) { c.ProducerIDBlock = 0 },
	} {
		c := DefaultAPIConfig()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewHandlers(DefaultAPIConfig(), Deps{}); err == nil {
		t.Error("handlers without dependencies were accepted")
	}
}

func TestGroupRequestsGoToTheCoordinatorWithTheirClient(t *testing.T) {
	c := newCluster(t, nil)
	var who GroupClient
	c.Handlers.deps.Groups = GroupsFunc(func(_ context.Context, w GroupClient, version int16, req kmsg.Request, reply func(kmsg.Response)) {
		who = w
		reply(kmsg.NewPtrHeartbeatResponse()) // version not set
	})
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	if r := c.serve(req); r.Message.GetVersion() != 4 {
		t.Errorf("the response has version %d", r.Message.GetVersion())
	}
	if who != (GroupClient{ID: "test", Host: "/10.0.0.9"}) {
		t.Errorf("client %+v", who)
	}
	if got := host(&net.UnixAddr{Name: "x"}); got != "/x" {
		t.Errorf("an address without a port: %q", got)
	}
}

func TestTheDocumentationHasTheTable(t *testing.T) {
	doc, err := os.ReadFile("../../docs/protocol/kafka.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\w+) \| (\d+) \| (\d+)–(\d+) \|`)
	var written, served []string
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		written = append(written, strings.Join(m[1:], " "))
	}
	for _, api := range newCluster(t, nil).Table() {
		served = append(served, fmt.Sprint(kmsg.NameForKey(api.Key), " ", api.Key, " ", api.Min, " ", api.Max))
	}
	if !slices.Equal(written, served) {
		t.Errorf("docs/protocol/kafka.md has\n%v\nbut the broker serves\n%v", written, served)
	}
}
