#!/usr/bin/env bash
# Apache Kafka 4.4.0, one broker (KRaft) from Maven Central, plaintext on loopback.
#
# A request may say which leader epoch its sender knows ("current leader epoch"); -1 says
# that it knows none (KIP-320). What a broker answers to another negative epoch, -2, depends
# on the API: Fetch takes it as none and answers without an error, while ListOffsets and
# OffsetForLeaderEpoch answer FENCED_LEADER_EPOCH (74), as for an epoch that is over.
# A client or proxy that uses other negative numbers than -1 works with one and not with the others.
#
# Needs Java 17, Maven and Python 3. Fails if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d); pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
cat > "$dir/pom.xml" <<'P'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.4.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
P
mvn -q -B -f "$dir/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$dir/lib"
read -r port controller < <(python3 - <<'P'
import socket
a, b = socket.socket(), socket.socket()
a.bind(("127.0.0.1", 0)); b.bind(("127.0.0.1", 0))
print(a.getsockname()[1], b.getsockname()[1])
P
)
cat > "$dir/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$dir/data
P
kafka() { java -Xmx512m -cp "$dir/lib/*" "$@"; }
kafka kafka.tools.StorageTool format -t "$(kafka kafka.tools.StorageTool random-uuid)" -c "$dir/server.properties" > "$dir/format.log"
kafka kafka.Kafka "$dir/server.properties" > "$dir/kafka.log" 2>&1 &
pid=$!
python3 - "$port" <<'P'
import socket, struct, sys, time

port, correlation = int(sys.argv[1]), 0

def string(s): return struct.pack(">h", len(s)) + s.encode()

def ask(sock, key, version, body):
    """Sends a request in a version without tagged fields and returns the answer's body."""
    global correlation
    correlation += 1
    frame = struct.pack(">hhi", key, version, correlation) + string("finding") + body
    sock.sendall(struct.pack(">i", len(frame)) + frame)
    def read(n):
        b = b""
        while len(b) < n:
            more = sock.recv(n - len(b))
            if not more: sys.exit("the broker closed the connection")
            b += more
        return b
    answer = read(struct.unpack(">i", read(4))[0])
    assert struct.unpack(">i", answer[:4])[0] == correlation
    return answer[4:]

until = time.time() + 90
while True:
    try:
        sock = socket.create_connection(("127.0.0.1", port), 30)
        sock.settimeout(30)
        break
    except OSError:
        if time.time() > until: sys.exit("the broker did not start")
        time.sleep(0.5)

# CreateTopics 4: "t" with one partition.
while True:
    b = ask(sock, 19, 4, struct.pack(">i", 1) + string("t") + struct.pack(">ihiiib", 1, 1, 0, 0, 30000, 0))
    code = struct.unpack(">h", b[4 + 4 + 3:4 + 4 + 5])[0]
    if code in (0, 36): break
    if time.time() > until: sys.exit(f"CreateTopics: {code}")
    time.sleep(0.5)

def fetch(epoch): # 11
    b = ask(sock, 1, 11, struct.pack(">iiiibii", -1, 0, 0, 1 << 20, 0, 0, -1) + struct.pack(">i", 1) + string("t") +
            struct.pack(">i", 1) + struct.pack(">iiqqi", 0, epoch, 0, -1, 1 << 20) + struct.pack(">i", 0) + string(""))
    at = 4 + 2 + 4 + 4 + 3 + 4 + 4 # throttle, error, session, topics, "t", partitions, index
    return struct.unpack(">h", b[at:at + 2])[0]

def list_offsets(epoch): # 4
    b = ask(sock, 2, 4, struct.pack(">ib", -1, 0) + struct.pack(">i", 1) + string("t") + struct.pack(">i", 1) + struct.pack(">iiq", 0, epoch, -1))
    at = 4 + 4 + 3 + 4 + 4 # throttle, topics, "t", partitions, index
    return struct.unpack(">h", b[at:at + 2])[0]

def leader_epoch(epoch): # 3
    b = ask(sock, 23, 3, struct.pack(">i", -1) + struct.pack(">i", 1) + string("t") + struct.pack(">i", 1) + struct.pack(">iii", 0, epoch, 0))
    at = 4 + 4 + 3 + 4 # throttle, topics, "t", partitions
    return struct.unpack(">h", b[at:at + 2])[0]

while list_offsets(-1) != 0: # until it leads the partition
    if time.time() > until: sys.exit("the partition has no leader")
    time.sleep(0.2)
seen = {name: (f(-1), f(-2)) for name, f in (("Fetch", fetch), ("ListOffsets", list_offsets), ("OffsetForLeaderEpoch", leader_epoch))}
for name, (none, other) in seen.items():
    print(f"{name}: epoch -1 is answered with error {none}, epoch -2 with {other}")
want = {"Fetch": (0, 0), "ListOffsets": (0, 74), "OffsetForLeaderEpoch": (0, 74)}
if seen != want: sys.exit(f"this has changed; it was {want}")
P
