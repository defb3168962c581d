package e2e

import (
	enc "encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// askFrame encodes a request of the given version with its length prefix.
func askFrame(version int16, r kmsg.Request) []byte {
	r.SetVersion(version)
	return requestFrame(r)
}

// hungry returns small requests with large responses, one for each API that has them. They expect
// 400 topics named a-000 to a-399, the topic wide with 4000 partitions, the topic long with a long
// config value, and the group g whose offsets have long metadata.
func hungry() map[string][]byte {
	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.IncludeSynonyms, configs.IncludeDocumentation = true, true
	for range 10_000 {
		configs.Resources = append(configs.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "long"})
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.ValidateOnly, create.TimeoutMillis = true, 30_000
	for i := range 8_000 {
		create.Topics = append(create.Topics, kmsg.CreateTopicsRequestTopic{Topic: fmt.Sprint("new-", i), NumPartitions: 1, ReplicationFactor: 1})
	}
	offsets := kmsg.NewPtrOffsetFetchRequest()
	offsets.Group = "g"
	offsets.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "wide", Partitions: partitions(4000)}}
	all := kmsg.NewPtrOffsetFetchRequest()
	all.Group = "g"
	elect := kmsg.NewPtrElectLeadersRequest()
	elect.TimeoutMillis = 1000
	elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "wide", Partitions: partitions(4000)}}
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	groups := kmsg.NewPtrDescribeGroupsRequest()
	groups.Groups = []string{"g"}
	return map[string][]byte{
		"DescribeConfigs": askFrame(4, configs), "CreateTopics": askFrame(7, create), "Metadata": askFrame(9, kmsg.NewPtrMetadataRequest()),
		"OffsetFetch": askFrame(7, offsets), "OffsetFetch of all": askFrame(7, all), "ElectLeaders": askFrame(2, elect),
		"DescribeLogDirs": askFrame(4, dirs), "DescribeGroups": askFrame(5, groups), "ListGroups": askFrame(4, kmsg.NewPtrListGroupsRequest()),
		"ListConfigResources": askFrame(1, func() kmsg.Request {
			r := kmsg.NewPtrListConfigResourcesRequest()
			r.ResourceTypes = []int8{2}
			return r
		}()),
	}
}

func partitions(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// Many clients request large responses and read none of them. The broker stays within its memory
// limit for requests, and a client that does read gets complete responses.
func TestLargeAnswersAreBounded(t *testing.T) {
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = ""
tcp_listen = %q
max_request_bytes = 1000000
max_control_request_bytes = 1048576
[memory]
request_budget_bytes = 50331648
[admin]
listen = %q
`, dir, addr, admin), admin)
	b.dir, b.addr = dir, addr
	long := strings.Repeat("1:1,", 3_000) + "1:1"
	many := kmsg.NewPtrCreateTopicsRequest()
	many.TimeoutMillis = 60_000
	for i := range 400 {
		many.Topics = append(many.Topics, kmsg.CreateTopicsRequestTopic{Topic: fmt.Sprintf("a-%03d", i), NumPartitions: 1, ReplicationFactor: 1})
	}
	many.Topics = append(many.Topics, kmsg.CreateTopicsRequestTopic{Topic: "wide", NumPartitions: 4000, ReplicationFactor: 1},
		kmsg.CreateTopicsRequestTopic{Topic: "long", NumPartitions: 1, ReplicationFactor: 1,
			Configs: []kmsg.CreateTopicsRequestTopicConfig{{Name: "leader.replication.throttled.replicas", Value: &long}}})
	for _, topic := range raw[*kmsg.CreateTopicsResponse](b, 7, many).Topics {
		if topic.ErrorCode != 0 {
			t.Fatalf("%s: %d", topic.Topic, topic.ErrorCode)
		}
	}
	commitLong(t, b)
	before := residentBytes(t, b)
	for name, frame := range hungry() {
		var attackers []net.Conn
		for range 30 {
			nc := attacker(t, b)
			attackers = append(attackers, nc)
			go func() {
				for range 4 { // the broker may not read them all
					if _, err := nc.Write(frame); err != nil {
						return
					}
				}
			}()
		}
		// A client at another address is answered.
		for what, frame := range map[string][]byte{"Metadata": askFrame(9, kmsg.NewPtrMetadataRequest()), "DescribeConfigs": configsOfAll()} {
			if n := answerBytes(t, b, frame); n < 100<<10 {
				t.Errorf("beside %s: %s is answered with %d bytes", name, what, n)
			}
		}
		t.Logf("after %s: %d MiB, %.0f bytes of work in use", name, residentBytes(t, b)>>20, b.metric(`sluice_request_budget_used_bytes{class="work"}`))
		for _, nc := range attackers {
			nc.Close()
		}
	}
	if grew := residentBytes(t, b) - before; grew > 256<<20 {
		t.Errorf("the process grew from %d MiB by %d", before>>20, grew>>20)
	}
}

// commitLong commits offsets of all partitions of wide for group g, with long metadata.
func commitLong(t *testing.T, b *broker) {
	t.Helper()
	text := strings.Repeat("x", 4000)
	for first := 0; first < 4000; first += 200 {
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Group, commit.Generation = "g", -1
		topic := kmsg.OffsetCommitRequestTopic{Topic: "wide"}
		for i := range 200 {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Metadata = int32(first+i), &text
			topic.Partitions = append(topic.Partitions, p)
		}
		commit.Topics = append(commit.Topics, topic)
		for _, p := range raw[*kmsg.OffsetCommitResponse](b, 7, commit).Topics[0].Partitions {
			if p.ErrorCode != 0 {
				t.Fatalf("commit: %d", p.ErrorCode)
			}
		}
	}
}

// configsOfAll is the DescribeConfigs request of a tool that describes 400 topics.
func configsOfAll() []byte {
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.IncludeSynonyms = true
	for i := range 400 {
		r.Resources = append(r.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: fmt.Sprintf("a-%03d", i)})
	}
	return askFrame(4, r)
}

// answerBytes sends a request from 127.0.0.2, reads the whole response and returns its length.
func answerBytes(t *testing.T, b *broker, frame []byte) int64 {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	nc, err := d.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	if _, err := nc.Write(frame); err != nil {
		t.Fatal(err)
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(nc, size); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(nc, int64(enc.BigEndian.Uint32(size))))
	if err != nil || n != int64(enc.BigEndian.Uint32(size)) {
		t.Fatalf("%d bytes of %d: %v", n, enc.BigEndian.Uint32(size), err)
	}
	return n
}
