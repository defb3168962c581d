package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// documents parses the output of a command with --json, one document per line.
func documents(t testing.TB, out string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(out) {
		var d map[string]any
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%q is no JSON document: %v", line, err)
		}
		all = append(all, d)
	}
	return all
}

// document is like documents, for commands that print exactly one.
func document(t testing.TB, out string) map[string]any {
	t.Helper()
	all := documents(t, out)
	if len(all) != 1 {
		t.Fatalf("%d documents:\n%s", len(all), out)
	}
	return all[0]
}

// fails runs a command that must fail with the given exit code and a single line on stderr that
// contains want.
func (b *broker) fails(code int, want string, args ...string) {
	b.t.Helper()
	_, errs, got := b.sluice("", args...)
	if got != code || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
		b.t.Errorf("sluice %s: exit %d: %q, want %d and %q", strings.Join(args, " "), got, errs, code, want)
	}
}

func TestTopicCommands(t *testing.T) {
	b := newBroker(t)
	created := document(t, b.must("", "topic", "create", "orders", "--partitions", "3", "--config", "retention.ms=60000", "--json"))
	if created["topic"] != "orders" || created["partitions"] != 3.0 || created["created"] != true {
		t.Errorf("created %v", created)
	}
	b.fails(1, "already exists", "topic", "create", "orders")
	if d := document(t, b.must("", "topic", "create", "orders", "--if-not-exists", "--json")); d["created"] != false {
		t.Errorf("created again: %v", d)
	}
	for _, name := range []string{"../x", "a/b", "", ".", "..", strings.Repeat("n", 250)} {
		b.fails(1, "INVALID_TOPIC_EXCEPTION", "topic", "create", name)
	}
	b.fails(1, "replic", "topic", "create", "nine", "--replication-factor", "9")
	b.fails(1, "retention.ms", "topic", "create", "bad", "--config", "retention.ms=soon")
	b.must("", "topic", "create", "plain")
	list := documents(t, b.must("", "topic", "list", "--json"))
	if len(list) != 2 || list[0]["topic"] != "orders" || list[1]["topic"] != "plain" || list[0]["partitions"] != 3.0 {
		t.Errorf("list %v", list)
	}
	if out := b.must("", "topic", "list"); !strings.Contains(out, "TOPIC") || !strings.Contains(out, "orders") {
		t.Errorf("list:\n%s", out)
	}
	b.must("", "topic", "alter", "orders", "--partitions", "5", "--config", "retention.bytes=1000", "--delete-config", "retention.ms")
	d := document(t, b.must("", "topic", "describe", "orders", "--json"))
	if ps := d["partitions"].([]any); len(ps) != 5 || ps[4].(map[string]any)["leader"] != 1.0 {
		t.Errorf("partitions %v", ps)
	}
	if c := d["configs"].(map[string]any); len(c) != 1 || c["retention.bytes"] != "1000" {
		t.Errorf("configs %v", c)
	}
	b.fails(1, "orders", "topic", "alter", "orders", "--partitions", "2")
	b.fails(1, "topic nothing does not exist", "topic", "describe", "nothing")
	b.fails(1, "topic nothing does not exist", "topic", "alter", "nothing", "--config", "retention.ms=1")
	b.must("", "topic", "delete", "plain", "orders")
	b.fails(1, "topic orders does not exist", "topic", "delete", "orders")
	if out := b.must("", "topic", "list", "--json"); out != "" {
		t.Errorf("after deletion:\n%s", out)
	}
}

func TestProduceAndConsumeCommands(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "t", "--partitions", "2")
	sum := document(t, b.must("a:1\nb:2\n\xff\xfe:\x00\x01", "produce", "t", "--key-separator", ":", "--header", "from=test", "--partition", "1", "--compression", "zstd", "--json"))
	if sum["records"] != 3.0 || sum["bytes"] != 8.0 || sum["topic"] != "t" {
		t.Errorf("sum %v", sum)
	}
	rs := documents(t, b.must("", "consume", "t", "--json"))
	if len(rs) != 3 {
		t.Fatalf("records %v", rs)
	}
	for i, want := range []struct{ key, value any }{{"a", "1"}, {"b", "2"}, {nil, "\x00\x01"}} {
		r := rs[i]
		if r["key"] != want.key || r["value"] != want.value || r["partition"] != 1.0 || r["offset"] != float64(i) {
			t.Errorf("record %d: %v", i, r)
		}
		if h := r["headers"].([]any)[0].(map[string]any); h["key"] != "from" || h["value"] != "test" {
			t.Errorf("header %v", h)
		}
	}
	if rs[2]["key_base64"] != "//4=" {
		t.Errorf("bytes that are no text: %v", rs[2])
	}
	for _, test := range []struct{ args, want string }{
		{"--format %p/%o:%k=%v;", "1/0:a=1;1/1:b=2;1/2:\xff\xfe=\x00\x01;"},
		{"--from 1 --format %o;", "1;2;"},
		{"--from end", ""},
		{"--from 99", ""},
		{"--from 2100-01-01", ""},
		{"--from @0 --count 2 --format %v;", "1;2;"},
		{"--partition 0", ""},
		{"--partition 1 --count 1", "1\n"},
	} {
		if got := b.must("", append([]string{"consume", "t"}, strings.Fields(test.args)...)...); got != test.want {
			t.Errorf("consume %s printed %q, want %q", test.args, got, test.want)
		}
	}
	for _, test := range []struct{ in, args, want string }{
		{"one\n\nthree\n", "", "one\n\nthree\n"},
		{"x\ny\x00z", "-0 --acks leader --compression gzip", "x\ny\nz\n"},
		{"q", "--acks none", "q\n"},
	} {
		name := fmt.Sprintf("u%d", len(test.args))
		b.must("", "topic", "create", name)
		b.must(test.in, append([]string{"produce", name}, strings.Fields(test.args)...)...)
		b.eventually(func() string { return b.must("", "consume", name) }, test.want)
	}
	file := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.must("", "produce", "auto", "--file", file) // dev creates topics
	if got := b.must("", "consume", "auto"); got != "from a file\n" {
		t.Errorf("%q", got)
	}
	b.fails(1, "no such file", "produce", "t", "--file", file+"x")
	b.fails(1, "topic nothing does not exist", "consume", "nothing")
	b.fails(1, "has no partition 7", "consume", "t", "--partition", "7")
	b.fails(1, "there is no key separator", "produce", "t", "--key-separator", ":", "--file", file)
}

// eventually waits until get returns want. Records produced without acks become readable at an
// unknown time.
func (b *broker) eventually(get func() string, want string) {
	b.t.Helper()
	until := time.Now().Add(20 * time.Second)
	for {
		got := get()
		if got == want {
			return
		}
		if time.Now().After(until) {
			b.t.Fatalf("%q, want %q", got, want)
		}
	}
}

func TestProduceKeepsToItsRate(t *testing.T) {
	b := newBroker(t)
	sum := document(t, b.must(strings.Repeat("x\n", 30), "produce", "slow", "--rate", "100", "--json"))
	if s := sum["seconds"].(float64); s < 0.29 {
		t.Errorf("30 records at 100/s took %f s", s)
	}
}

func TestProduceOfATopicThatIsNotThere(t *testing.T) {
	b := newBroker(t, "--auto-create-topics=false")
	_, errs, code := b.sluice("x\n", "produce", "nothing")
	if code != 1 || !strings.Contains(errs, "topic nothing does not exist; `sluice topic list` shows all, `sluice topic create nothing` creates it") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// consume --follow prints new records, and exits cleanly on an interrupt.
func TestFollowIsEndedByAnInterrupt(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "t")
	for _, args := range [][]string{{"consume", "t", "--follow"}, {"consume", "t", "--follow", "--group", "g"}} {
		cmd := exec.Command(binary, append(args, "--broker", b.addr, "--data-dir", b.dir)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b.must("hello\n", "produce", "t")
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "hello\n" {
			t.Errorf("%v printed %q, %v", args, line, err)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v ended with %v", args, err)
		}
	}
	// The group has committed up to the end: its follower committed when it was interrupted.
	if d := document(t, b.must("", "group", "describe", "g", "--json")); d["lag"] != 0.0 {
		t.Errorf("group %v", d)
	}
}

// produce reports the acknowledged records when it is interrupted.
func TestProduceIsEndedByAnInterrupt(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "t")
	cmd := exec.Command(binary, "produce", "t", "--json", "--broker", b.addr, "--data-dir", b.dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(in, "a\nb\n")
	b.eventually(func() string { return b.must("", "consume", "t") }, "a\nb\n")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("ended with %v: %s", err, out)
	}
	if d := document(t, out.String()); d["records"] != 2.0 {
		t.Errorf("sum %v", d)
	}
}

func TestGroupCommands(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "t", "--partitions", "2")
	b.must("0\n1\n2\n3\n4\n", "produce", "t", "--partition", "0")
	if got := b.must("", "consume", "t", "--group", "g", "--count", "2"); got != "0\n1\n" {
		t.Errorf("first %q", got)
	}
	if got := b.must("", "consume", "t", "--group", "g"); got != "2\n3\n4\n" {
		t.Errorf("then %q", got)
	}
	groups := documents(t, b.must("", "group", "list", "--json"))
	if len(groups) != 1 || groups[0]["group"] != "g" || groups[0]["state"] != "Empty" {
		t.Errorf("groups %v", groups)
	}
	d := document(t, b.must("", "group", "describe", "g", "--json"))
	if p := d["partitions"].([]any)[0].(map[string]any); p["committed_offset"] != 5.0 || p["lag"] != 0.0 || d["lag"] != 0.0 {
		t.Errorf("group %v", d)
	}
	dry := documents(t, b.must("", "group", "reset", "g", "--to-earliest", "--dry-run", "--json"))
	if len(dry) != 2 || dry[0]["from_offset"] != 5.0 || dry[0]["to_offset"] != 0.0 || dry[0]["dry_run"] != true {
		t.Errorf("dry run %v", dry)
	}
	if got := b.must("", "consume", "t", "--group", "g"); got != "" {
		t.Errorf("after a dry run %q", got)
	}
	for _, test := range []struct{ to, want string }{
		{"--to-earliest", "0\n1\n2\n3\n4\n"},
		{"--to-offset=3", "3\n4\n"},
		{"--to-offset=77", ""},
		{"--to-latest", ""},
		{"--to-datetime=2001-01-01", "0\n1\n2\n3\n4\n"},
		{"--to-datetime=2100-01-01T00:00:00Z", ""},
	} {
		b.must("", "group", "reset", "g", "--topic", "t", test.to)
		if got := b.must("", "consume", "t", "--group", "g"); got != test.want {
			t.Errorf("after %s: %q, want %q", test.to, got, test.want)
		}
	}
	b.fails(1, "has committed no offsets; name the topics", "group", "reset", "fresh", "--to-latest")
	b.fails(1, "topic nothing does not exist", "group", "reset", "g", "--topic", "nothing", "--to-latest")
	b.must("", "group", "reset", "fresh", "--topic", "t", "--to-offset", "4")
	if got := b.must("", "consume", "t", "--group", "fresh"); got != "4\n" {
		t.Errorf("a group made by reset: %q", got)
	}
	b.fails(1, "group nobody does not exist", "group", "describe", "nobody")
	b.fails(1, "group nobody does not exist", "group", "delete", "nobody")
	b.must("", "group", "delete", "g", "fresh")
	if out := b.must("", "group", "list", "--json"); out != "" {
		t.Errorf("after deletion:\n%s", out)
	}
}

// A group with members can neither be reset nor deleted.
func TestGroupInUse(t *testing.T) {
	b := newBroker(t)
	b.must("x\n", "produce", "t")
	cmd := exec.Command(binary, "consume", "t", "--group", "g", "--follow", "--broker", b.addr, "--data-dir", b.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	b.fails(1, "group g has 1 member; stop them first", "group", "reset", "g", "--to-earliest")
	b.fails(1, "group g has members; stop them first", "group", "delete", "g")
	d := document(t, b.must("", "group", "describe", "g", "--json"))
	if m := d["members"].([]any); len(m) != 1 || m[0].(map[string]any)["client_id"] != "sluice-cli" || d["state"] != "Stable" {
		t.Errorf("group %v", d)
	}
}

func TestClusterStatus(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "t", "--partitions", "3")
	d := document(t, b.must("", "cluster", "status", "--json", "--admin", b.admin))
	brokers := d["brokers"].([]any)
	if d["topics"] != 1.0 || d["partitions"] != 3.0 || d["leaderless_partitions"] != 0.0 || len(brokers) != 1 {
		t.Errorf("status %v", d)
	}
	one := brokers[0].(map[string]any)
	if fmt.Sprintf("%v:%v", one["host"], strconv.FormatFloat(one["port"].(float64), 'f', 0, 64)) != b.addr || one["leads"] != 3.0 || one["answers"] != true {
		t.Errorf("broker %v", one)
	}
	if out := b.must("", "cluster", "status", "--admin", b.admin); !strings.Contains(out, "1 topic, 3 partitions") {
		t.Errorf("status:\n%s", out)
	}
	// Without a response from the admin server it is unknown whether anything is damaged.
	out, errs, code := b.sluice("", "cluster", "status", "--admin", b.addr)
	if code != 1 || !strings.Contains(out, "1 topic, 3 partitions") || !strings.Contains(errs, "it is unknown whether anything is damaged: ") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	out, _, code = b.sluice("", "cluster", "status", "--admin", b.addr, "--json")
	if d := document(t, out); code != 1 || d["damage_unknown"] == "" || d["damage"] != nil {
		t.Errorf("exit %d, %v", code, d)
	}
}

func TestEveryTransport(t *testing.T) {
	b := newBroker(t)
	b.must("over quic\n", "produce", "t")
	b.must("over tcp\n", "produce", "t", "--transport", "tcp")
	if got := b.must("", "consume", "t", "--transport", "tcp"); got != "over quic\nover tcp\n" {
		t.Errorf("%q", got)
	}
	// The CA can be given explicitly. With another cluster's CA the broker is not trusted.
	ca := filepath.Join(b.dir, "tls", "ca.crt")
	b.must("", "topic", "list", "--ca", ca)
	other := newBroker(t)
	b.fails(1, "not trusted", "topic", "list", "--ca", filepath.Join(other.dir, "tls", "ca.crt"))
	b.fails(1, "CA file", "topic", "list", "--ca", ca+"x")
}

func TestInspectors(t *testing.T) {
	b := newBroker(t)
	b.must(strings.Repeat("a line\n", 100), "produce", "t", "--compression", "lz4")
	batches, records := 0, 0.0
	dump := documents(t, b.must("", "wal", "dump", "--json")) // while the broker runs
	for _, d := range dump {
		if d["kind"] == "batch" {
			batches++
			records += d["count"].(float64)
		}
	}
	if records != 100 {
		t.Errorf("%f records in %d batches of the WAL", records, batches)
	}
	if last := dump[len(dump)-1]; last["kind"] != "report" || last["ok"] != true || last["batches"] != float64(batches) {
		t.Errorf("report %v", last)
	}
	if out := b.must("", "wal", "verify"); !strings.Contains(out, "1 segment") {
		t.Errorf("verify: %s", out)
	}
	b.hurry()
	found := documents(t, b.must("", "object", "verify", "--json"))
	if len(found) == 0 || found[0]["ok"] != true {
		t.Fatalf("objects %v", found)
	}
	name := found[0]["object"].(string)
	kinds := map[any]int{}
	for _, d := range documents(t, b.must("", "object", "dump", name, "--json")) {
		kinds[d["kind"]]++
	}
	if kinds["object"] != 1 || kinds["partition"] == 0 || kinds["batch"] != batches {
		t.Errorf("object dump %v", kinds)
	}
	key := strings.TrimPrefix(name, filepath.Join(b.dir, "objects")+"/")
	b.must("", "object", "verify", "--store", "file://"+filepath.Join(b.dir, "objects"), key)
	b.stop()
	first := dump[0]
	if first["kind"] != "group" || first["batches"] == 0.0 {
		t.Fatalf("the WAL begins with %v", first)
	}
	damage(t, filepath.Join(b.dir, "wal", first["segment"].(string)), int64(first["position"].(float64)+first["bytes"].(float64))-5)
	b.fails(1, "corrupt in 1 place", "wal", "verify")
	if out, _, _ := b.sluice("", "wal", "dump"); !strings.Contains(out, "DAMAGED") || !strings.Contains(out, "corrupt: ") {
		t.Errorf("dump of a corrupt WAL:\n%s", out)
	}
	damage(t, name, 200)
	b.fails(1, "corrupt", "object", "verify", name)
	b.fails(1, "there is no WAL in", "wal", "verify", filepath.Join(b.dir, "nothing"))
	for _, command := range []string{"dump", "verify"} {
		b.fails(1, "there is no object below", "object", command, t.TempDir())
	}
	b.fails(1, "there is no object", "object", "dump", filepath.Join(b.dir, "nothing"))
}

// damage flips one bit in the byte at an offset of a file.
func damage(t *testing.T, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

func TestCompletionAsksTheBroker(t *testing.T) {
	b := newBroker(t)
	b.must("", "topic", "create", "orders")
	b.must("", "topic", "create", "others")
	// Flags before the completed argument are used to reach the broker.
	run := exec.Command(binary, "__complete", "--broker", b.addr, "--data-dir", b.dir, "consume", "o")
	out, err := run.Output()
	if err != nil || !strings.HasPrefix(string(out), "orders\nothers\n") {
		t.Errorf("%v: %s", err, out)
	}
	run = exec.Command(binary, "__complete", "topic", "list", "--transport", "")
	if out, err = run.Output(); err != nil || !strings.HasPrefix(string(out), "quic\ntcp\ntls\n") {
		t.Errorf("%v: %s", err, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if out, err := exec.Command(binary, "completion", shell).Output(); err != nil || !strings.Contains(string(out), "sluice") {
			t.Errorf("%s: %v", shell, err)
		}
	}
}
