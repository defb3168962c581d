//go:build oracle

package oracle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// side is one of the two brokers being compared.
type side struct {
	name, addr string
	port       int32
	clusterID  string
	versions   map[int16]span // advertised, by API key
}

// span is an inclusive range of versions.
type span struct{ min, max int16 }

// output collects the output of a process. It is safe for concurrent use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.buf.String()
	return s[max(0, len(s)-4000):]
}

// freePorts returns the first of n consecutive free ports. They are below the kernel's ephemeral
// range, so no outgoing connection of the test takes one before the broker does.
func freePorts(t testing.TB, n int) int {
	t.Helper()
search:
	for range 200 {
		first := 20_000 + rand.IntN(12_000)
		for p := first; p < first+n; p++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
			if err != nil {
				continue search
			}
			_ = l.Close() // only probing
		}
		return first
	}
	t.Fatal("no ports are free")
	return 0
}

const kafkaProperties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=%[3]s
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
`

// startKafka starts a single node, broker and controller combined, from the jars in a directory.
func startKafka(t *testing.T, jars string) *side {
	t.Helper()
	dir, port := t.TempDir(), freePorts(t, 2)
	file := filepath.Join(dir, "server.properties")
	properties := fmt.Sprintf(kafkaProperties, port, port+1, filepath.Join(dir, "data"))
	if err := os.WriteFile(file, []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(jars, "*")
	format := exec.Command("java", "-Xmx256m", "-cp", path, "kafka.tools.StorageTool", "format", "-t", "c2x1aWNlLW9yYWNsZS0wMQ", "-c", file)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, out)
	}
	s := &side{name: "Kafka", addr: fmt.Sprintf("127.0.0.1:%d", port), port: int32(port)}
	s.run(t, exec.Command("java", "-Xmx768m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", path, "kafka.Kafka", file))
	return s
}

const sluiceSettings = `[broker]
id = 1
data_directory = %[1]q
[network]
tcp_listen = "127.0.0.1:%[2]d"
quic_listen = "127.0.0.1:%[2]d"
[topics]
auto_create = true
[groups]
initial_rebalance_delay_ms = 0
[admin]
listen = "127.0.0.1:%[3]d"
`

func startSluice(t *testing.T) *side {
	t.Helper()
	dir, port := t.TempDir(), freePorts(t, 2)
	binary := filepath.Join(dir, "sluice")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/sluicemq/sluice/cmd/sluice").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "broker.toml")
	settings := fmt.Sprintf(sluiceSettings, filepath.Join(dir, "data"), port, port+1)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &side{name: "Sluice", addr: fmt.Sprintf("127.0.0.1:%d", port), port: int32(port)}
	s.run(t, exec.Command(binary, "broker", "--config", file))
	return s
}

// run starts a broker and waits until it serves. The broker is stopped when the test ends.
func (s *side) run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log := &output{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // may have exited already
		select {
		case <-over:
		case <-time.After(60 * time.Second):
			_ = cmd.Process.Kill() // the timeout is reported anyway
			t.Errorf("%s did not stop in a minute", s.name)
		}
		if t.Failed() {
			t.Logf("%s printed at last:\n%s", s.name, log.tail())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.learn(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case end := <-over:
			over <- end
			t.Fatalf("%s ended: %v\n%s", s.name, end, log.tail())
		case <-ctx.Done():
			t.Fatalf("%s does not serve: %v\n%s", s.name, err, log.tail())
		}
	}
}

// learn fetches the broker's advertised versions and cluster id, and makes it create whatever it
// creates lazily for the first producer, group or transaction. It returns an error until all of
// that is ready.
func (s *side) learn(ctx context.Context) error {
	c, err := dial(ctx, s.addr)
	if err != nil {
		return err
	}
	defer c.close()
	versions := kmsg.NewPtrApiVersionsRequest()
	resp, err := c.ask(versions)
	if err != nil {
		return err
	}
	s.versions = map[int16]span{}
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		s.versions[k.ApiKey] = span{k.MinVersion, k.MaxVersion}
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.SetVersion(7)
	metadata.Topics = []kmsg.MetadataRequestTopic{}
	if resp, err = c.ask(metadata); err != nil {
		return err
	}
	m := resp.(*kmsg.MetadataResponse)
	if m.ClusterID == nil || len(m.Brokers) == 0 {
		return errors.New("the broker is not in the metadata yet")
	}
	s.clusterID = *m.ClusterID
	producer := kmsg.NewPtrInitProducerIDRequest()
	if resp, err = c.ask(producer); err != nil {
		return err
	}
	if code := resp.(*kmsg.InitProducerIDResponse).ErrorCode; code != 0 {
		return fmt.Errorf("no producer ids yet: %s", errorName(code))
	}
	offsets := kmsg.NewPtrOffsetFetchRequest()
	offsets.SetVersion(5)
	offsets.Group = "warm-up"
	if resp, err = c.ask(offsets); err != nil {
		return err
	}
	code := resp.(*kmsg.OffsetFetchResponse).ErrorCode
	for kind := range int8(3) { // groups, transactions, share groups: creates their internal topics
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.SetVersion(6)
		find.CoordinatorType, find.CoordinatorKeys = kind, []string{"warm-up:AAAAAAAAAAAAAAAAAAAAAQ:0"}
		if resp, err = c.ask(find); err != nil {
			return err
		}
		if at := resp.(*kmsg.FindCoordinatorResponse).Coordinators; code == 0 && len(at) > 0 && at[0].ErrorCode == notAvailable {
			code = notAvailable
		}
	}
	if code != 0 {
		return fmt.Errorf("not every coordinator is there yet: %s", errorName(code))
	}
	return nil
}

// notAvailable is COORDINATOR_NOT_AVAILABLE, returned while the coordinator's topic is being created.
const notAvailable = 15

// jars returns the directory into which the Makefile put Kafka's jars.
func jars(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SLUICE_ORACLE_JARS")
	if dir == "" {
		t.Fatal("SLUICE_ORACLE_JARS names no folder with Kafka's jars: use `make oracle`")
	}
	if found, err := filepath.Glob(filepath.Join(dir, "kafka_*.jar")); err != nil || len(found) == 0 {
		t.Fatalf("%s has no jars of Kafka (%v): %s", dir, err, strings.Join(found, " "))
	}
	return dir
}
