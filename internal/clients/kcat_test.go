//go:build clients

package clients

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluicemq/sluice/internal/record"
)

func TestKcatListsMetadata(t *testing.T) {
	b := newBroker(t)
	b.createTopic("orders", 3)
	var m struct {
		Brokers []struct {
			ID   int
			Name string
		}
		Topics []struct {
			Topic      string
			Partitions []struct {
				Partition, Leader int
				Replicas          []struct{ ID int }
				ISRs              []struct{ ID int }
			}
		}
	}
	if err := json.Unmarshal([]byte(b.kcat("", "-L", "-J")), &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Brokers) != 1 || m.Brokers[0].Name != b.addr {
		t.Errorf("brokers %+v, want the one at %s", m.Brokers, b.addr)
	}
	if len(m.Topics) != 1 || m.Topics[0].Topic != "orders" || len(m.Topics[0].Partitions) != 3 {
		t.Fatalf("topics %+v", m.Topics)
	}
	for i, p := range m.Topics[0].Partitions {
		if p.Partition != i || p.Leader != m.Brokers[0].ID || len(p.Replicas) != 1 || len(p.ISRs) != 1 {
			t.Errorf("partition %d: %+v", i, p)
		}
	}
}

func TestKcatRoundTripsEveryCodec(t *testing.T) {
	b := newBroker(t)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			b.createTopic(codec, 2)
			var want []string
			for i := range 2000 {
				want = append(want, fmt.Sprintf("key %d|a value that compresses, number %d", i%9, i))
			}
			b.kcat(strings.Join(want, "\n")+"\n", "-P", "-t", codec, "-z", codec, "-K", "|")
			got := lines(b.kcat("", "-C", "-t", codec, "-o", "beginning", "-e", "-q", "-f", "%k|%s\n"))
			if is := codecOf(t, b, codec); is != codec {
				t.Errorf("batches are stored as %s", is)
			}
			if slices.Sort(want); !equalSorted(got, want) {
				t.Errorf("%d records came back, %d were produced, or they differ", len(got), len(want))
			}
		})
	}
}

// codecOf returns the codec of the first batch found in a topic.
func codecOf(t *testing.T, b *broker, topic string) string {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.MaxVersions(kversion.V2_8_0())) // fetches by name
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for p := range int32(2) {
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.PartitionMaxBytes = p, 1<<20
		of := kmsg.NewFetchRequestTopic()
		of.Topic, of.Partitions = topic, []kmsg.FetchRequestTopicPartition{part}
		req := kmsg.NewPtrFetchRequest()
		req.MaxBytes, req.Topics = 1<<20, []kmsg.FetchRequestTopic{of}
		resp, err := req.RequestWith(t.Context(), cl.Broker(1))
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Topics[0].Partitions[0].RecordBatches; len(got) > 0 {
			batch, _, err := record.Next(got)
			if err != nil {
				t.Fatal(err)
			}
			return batch.Codec().String()
		}
	}
	t.Fatal("no batch is there")
	return ""
}

func TestKcatKeepsOrderKeysHeadersAndNulls(t *testing.T) {
	b := newBroker(t)
	b.createTopic("one", 1)
	var want []string
	var input strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&input, "k%d:v%d\n", i, i)
		want = append(want, fmt.Sprintf("%d k%d v%d source=test,empty=", i, i, i))
	}
	b.kcat(input.String(), "-P", "-t", "one", "-p", "0", "-K", ":", "-H", "source=test", "-H", "empty=")
	got := lines(b.kcat("", "-C", "-t", "one", "-e", "-q", "-f", "%o %k %s %h\n"))
	if !slices.Equal(got, want) {
		t.Errorf("%d records, the last %q; want %d, the last %q", len(got), last(got), len(want), last(want))
	}
	b.kcat("gone:\n", "-P", "-t", "one", "-p", "0", "-K", ":", "-Z") // a null value
	if got := b.kcat("", "-C", "-t", "one", "-o", "-1", "-e", "-q", "-f", "%k %K %S"); got != "gone 4 -1" {
		t.Errorf("key, its length and that of the null value: %q", got)
	}
}

func TestKcatStartsWhereItIsTold(t *testing.T) {
	b := newBroker(t)
	b.createTopic("log", 1)
	b.kcat("a\nb\nc\nd\ne\n", "-P", "-t", "log", "-p", "0")
	for from, want := range map[string]string{"beginning": "abcde", "3": "de", "-2": "de", "end": ""} {
		if got := b.kcat("", "-C", "-t", "log", "-p", "0", "-o", from, "-e", "-q", "-f", "%s"); got != want {
			t.Errorf("from %s: %q, want %q", from, got, want)
		}
	}
}

func TestKcatFindsOffsetsByTime(t *testing.T) {
	b := newBroker(t)
	b.createTopic("log", 1)
	b.kcat("a\n", "-P", "-t", "log", "-p", "0")
	ts := strings.TrimSpace(b.kcat("", "-C", "-t", "log", "-p", "0", "-o", "0", "-e", "-q", "-f", "%T"))
	if len(ts) != 13 {
		t.Fatalf("timestamp %q is not one of now in milliseconds", ts)
	}
	for at, want := range map[string]string{ts: "offset 0", "0": "offset 0", "9999999999999": "offset -1", "-2": "offset 0", "-1": "offset 1"} {
		if got := b.kcat("", "-Q", "-t", "log:0:"+at); !strings.Contains(got, want) {
			t.Errorf("offset at %s: %q, want %s", at, got, want)
		}
	}
	if got := b.kcat("", "-C", "-t", "log", "-p", "0", "-o", "s@"+ts, "-e", "-q", "-f", "%s"); got != "a" {
		t.Errorf("from time %s: %q", ts, got)
	}
}

func TestKcatGroupResumesWhereItCommitted(t *testing.T) {
	b := newBroker(t)
	b.createTopic("jobs", 3)
	group := func() []string {
		return lines(b.kcat("", "-G", "workers", "-X", "auto.offset.reset=earliest", "-e", "-q", "-f", "%s\n", "jobs"))
	}
	numbers := func(from, to int) string {
		var s strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&s, "%d\n", i)
		}
		return s.String()
	}
	for _, round := range [][2]int{{0, 300}, {300, 450}, {450, 451}} {
		b.kcat(numbers(round[0], round[1]), "-P", "-t", "jobs")
		want := lines(numbers(round[0], round[1]))
		slices.Sort(want)
		if got := group(); !equalSorted(got, want) {
			t.Fatalf("%d records for %v, want %d", len(got), round, len(want))
		}
	}
	if out := b.must("", binary, "group", "describe", "workers", "--broker", b.addr); !strings.Contains(out, "workers") {
		t.Errorf("group describe printed %q", out)
	}
}

func TestKcatIsIdempotentAndTakesAllAcks(t *testing.T) {
	b := newBroker(t)
	for name, settings := range map[string][]string{"acks-0": {"acks=0"}, "acks-1": {"acks=1"}, "acks-all": {"acks=all"},
		"idempotent": {"enable.idempotence=true"}} {
		b.createTopic(name, 1)
		args := []string{"-P", "-t", name, "-p", "0"}
		for _, s := range settings {
			args = append(args, "-X", s)
		}
		b.kcat("1\n2\n3\n", args...)
		got := b.kcat("", "-C", "-t", name, "-p", "0", "-c", "3", "-q", "-f", "%s") // acks=0 may take a moment
		if got != "123" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestKcatMovesABigFile(t *testing.T) {
	b := newBroker(t)
	b.createTopic("big", 1)
	var want strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&want, "line %d %s\n", i, strings.Repeat("x", i%100))
	}
	b.kcat(want.String(), "-P", "-t", "big", "-p", "0")
	if got := b.kcat("", "-C", "-t", "big", "-p", "0", "-e", "-q"); got != want.String() {
		t.Errorf("%d bytes came back of %d, or they differ", len(got), want.Len())
	}
}

func TestKcatOverTLS(t *testing.T) {
	b := newTLSBroker(t)
	b.createTopic("secret", 1)
	tls := []string{"-X", "security.protocol=ssl", "-X", "ssl.ca.location=" + filepath.Join(b.dir, "tls", "ca.crt")}
	b.kcat("a\nb\n", append(tls, "-P", "-t", "secret", "-p", "0")...)
	if got := b.kcat("", append(tls, "-C", "-t", "secret", "-p", "0", "-e", "-q", "-f", "%s")...); got != "ab" {
		t.Errorf("%q came back", got)
	}
	_, errs, code := b.try("", "kcat", "-b", b.addr, "-L", "-m", "3")
	if code == 0 {
		t.Errorf("plaintext was let in: %s", errs)
	}
	_, errs, code = b.try("", "kcat", "-b", b.addr, "-X", "security.protocol=ssl", "-L", "-m", "3")
	if code == 0 || !strings.Contains(errs, "certificate verify failed") {
		t.Errorf("without the CA: exit %d, %s", code, errs)
	}
}

func TestKcatIsToldWhatIsWrong(t *testing.T) {
	b := newBroker(t)
	b.createTopic("short", 1)
	for name, c := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"a bad name":         {"x", []string{"-P", "-t", "../etc"}, "Invalid topic"},
		"no such partition":  {"", []string{"-C", "-t", "short", "-p", "7", "-e"}, "does not exist"},
		"an oversize record": {strings.Repeat("x", 4<<20), []string{"-P", "-t", "short", "-X", "message.max.bytes=100000000"}, "size too large"},
		"a transaction":      {"x", []string{"-P", "-t", "short", "-X", "transactional.id=x"}, "version not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs, code := b.try(c.stdin, "kcat", append([]string{"-b", b.addr, "-X", "message.timeout.ms=10000"}, c.args...)...)
			if code == 0 || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d, %q does not say %q", code, errs, c.want)
			}
			if got := b.kcat("", "-L"); !strings.Contains(got, "short") {
				t.Errorf("metadata afterwards: %q", got)
			}
		})
	}
}

func lines(s string) []string {
	if s = strings.TrimSuffix(s, "\n"); s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

func last(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[len(s)-1]
}

// equalSorted reports whether got, in any order, equals want, which must be sorted.
func equalSorted(got, want []string) bool {
	got = slices.Clone(got)
	slices.Sort(got)
	return slices.Equal(got, want)
}
