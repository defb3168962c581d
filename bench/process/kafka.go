package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/freeport"
)

// Kafka is one node of Apache Kafka, a broker and a controller in one process.
type Kafka struct {
	*Process
	Addr, TLSAddr string
	CAFile        string
}

// kafkaProperties keeps Kafka's defaults for everything that affects speed or durability. It
// sets the listeners, and one replica for internal topics, since there is one node.
const kafkaProperties = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[3]s
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://%[1]s,SSL://%[2]s,CONTROLLER://%[3]s
advertised.listeners=PLAINTEXT://%[1]s,SSL://%[2]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location=%[4]s
log.dirs=%[5]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
`

// kafkaJVM are the JVM options of Kafka's own scripts: bin/kafka-server-start.sh and
// kafka-run-class.sh.
var kafkaJVM = []string{"-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
	"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
	"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}

const (
	kafkaClusterID = "c2x1aWNlLWJlbmNoLTAwMQ"
	pingLimit      = time.Second
)

// StartKafka starts Kafka from a folder of jars, on an existing directory. It listens in
// plaintext and with TLS.
func StartKafka(ctx context.Context, java, jars, dir string) (*Kafka, error) {
	k := &Kafka{}
	var controller string
	for _, a := range []*string{&k.Addr, &k.TLSAddr, &controller} {
		var err error
		if *a, err = freeport.Address(); err != nil {
			return nil, err
		}
	}
	keystore, ca, err := kafkaKeystore(dir)
	if err != nil {
		return nil, err
	}
	k.CAFile = ca
	conf := filepath.Join(dir, "server.properties")
	text := fmt.Sprintf(kafkaProperties, k.Addr, k.TLSAddr, controller, keystore, filepath.Join(dir, "kafka"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	path := filepath.Join(jars, "*")
	format := exec.CommandContext(ctx, java, "-cp", path, "kafka.tools.StorageTool", "format", "-t", kafkaClusterID, "-c", conf)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's directory: %w: %s", err, out)
	}
	args := append(append([]string{}, kafkaJVM...), "-cp", path, "kafka.Kafka", conf)
	k.Process, err = start(ctx, command{name: "kafka", path: java, dir: dir, args: args, ready: func(ctx context.Context) bool {
		return answersKafka(ctx, k.Addr)
	}})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// kafkaKeystore creates a certificate and returns Kafka's keystore, a key with its certificate,
// and the file of the authority.
func kafkaKeystore(dir string) (keystore, ca string, err error) {
	files, err := certs.Ensure(filepath.Join(dir, "tls"), nil)
	if err != nil {
		return "", "", err
	}
	key, err := os.ReadFile(files.Key)
	cert, err2 := os.ReadFile(files.Cert)
	if err := errors.Join(err, err2); err != nil {
		return "", "", err
	}
	keystore = filepath.Join(dir, "keystore.pem")
	return keystore, files.CA, os.WriteFile(keystore, append(key, cert...), 0o600)
}

// answersKafka reports whether a broker answers requests. Kafka accepts connections some time
// before it does.
func answersKafka(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return false
	}
	defer c.Close()
	return c.Ping(ctx) == nil
}

// FindKafka returns the Java binary and the version of the Kafka in a folder of jars, or an
// error that says what is missing.
func FindKafka(jars string) (java, version string, err error) {
	found, err := filepath.Glob(filepath.Join(jars, "kafka-server-[0-9]*.jar"))
	if err != nil || len(found) != 1 {
		return "", "", fmt.Errorf("no jars of one Kafka in %q; make bench-jars gets them by Maven", jars)
	}
	if java, err = exec.LookPath("java"); err != nil {
		return "", "", err
	}
	name := filepath.Base(found[0])
	return java, name[len("kafka-server-") : len(name)-len(".jar")], nil
}
