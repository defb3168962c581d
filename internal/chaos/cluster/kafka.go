package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Kafka is Apache Kafka, each node a broker and a controller (KRaft).
type Kafka struct {
	Java string
	Jars string // folder
}

// Name returns the system's name.
func (Kafka) Name() string { return "kafka" }

// kafkaProperties keeps Kafka's defaults for everything that affects speed or durability.
// With fewer than three nodes, the internal topics need fewer replicas.
const kafkaProperties = `process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://%[3]s,CONTROLLER://%[4]s
advertised.listeners=PLAINTEXT://%[3]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=%[5]s
`

const kafkaFewNodes = `offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
`

// kafkaJVM are the JVM options of Kafka's own scripts: bin/kafka-server-start.sh and
// kafka-run-class.sh.
var kafkaJVM = []string{"-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
	"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
	"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
	"-XX:-UsePerfData"} // else a JVM in a PID namespace removes the files of others in /tmp

const kafkaClusterID = "c2x1aWNlLWNoYW9zLTAwMQ"

// Prepare formats the directories.
func (k Kafka) Prepare(ctx context.Context, hosts []Host, dirs []string) ([]Node, error) {
	addrs, err := addresses(hosts)
	controllers, err2 := addresses(hosts)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	voters := make([]string, len(hosts))
	for i, c := range controllers {
		voters[i] = fmt.Sprintf("%d@%s", i+1, c)
	}
	nodes := make([]Node, len(hosts))
	for i, dir := range dirs {
		text := fmt.Sprintf(kafkaProperties, i+1, strings.Join(voters, ","), addrs[i], controllers[i], filepath.Join(dir, "data"))
		if len(hosts) < 3 {
			text += kafkaFewNodes
		}
		conf := filepath.Join(dir, "server.properties")
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		path := filepath.Join(k.Jars, "*")
		format := exec.CommandContext(ctx, k.Java, "-cp", path, "kafka.tools.StorageTool", "format", "-t", kafkaClusterID, "-c", conf)
		if out, err := format.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("format the directory of node %d: %w: %s", i+1, err, out)
		}
		nodes[i] = Node{Addr: addrs[i], Path: k.Java, Args: append(append([]string{}, kafkaJVM...), "-cp", path, "kafka.Kafka", conf),
			Ready: func(ctx context.Context) error { return ping(ctx, addrs[i]) }}
	}
	return nodes, nil
}

func addresses(hosts []Host) ([]string, error) {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		var err error
		if out[i], err = h.Address(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ping sends a request. Kafka accepts connections some time before it answers.
func ping(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Ping(ctx)
}

// FindKafka returns the Kafka in a folder of jars and its version, or an error that says what
// is missing.
func FindKafka(jars string) (k Kafka, version string, err error) {
	found, err := filepath.Glob(filepath.Join(jars, "kafka-server-[0-9]*.jar"))
	if err != nil || len(found) != 1 {
		return Kafka{}, "", fmt.Errorf("no jars of one Kafka in %q; make bench-jars gets them by Maven", jars)
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return Kafka{}, "", err
	}
	name := filepath.Base(found[0])
	return Kafka{Java: java, Jars: jars}, strings.TrimSuffix(strings.TrimPrefix(name, "kafka-server-"), ".jar"), nil
}
