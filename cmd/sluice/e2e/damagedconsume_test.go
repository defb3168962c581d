package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The commands print what can be read of a damaged partition, then name it and fail.
func TestCommandsNameADamagedPartition(t *testing.T) {
	n := newWALNode(t)
	n.kill()
	n.harm(n.sent[0][30][:30])
	n.mustServe()
	const sentence = "topic t: partition 0, at offset 30: the broker cannot read or write its records (KAFKA_STORAGE_ERROR); `sluice cluster status` says what is damaged"
	for _, test := range []struct {
		args    string
		records int
		fails   bool
	}{
		{"consume t", 90, true},
		{"consume t --partition 0 --from end", 0, true},
		{"consume t --partition 0 --from 29", 1, true},
		{"consume t --group g", 90, true},
		{"consume t --group g", 0, true}, // the printed records were committed
		{"consume t --partition 0 --count 30", 30, false},
		{"consume t --partition 1", 60, false},
	} {
		out, errs, code := n.sluice("", append(strings.Fields(test.args), "--format", `%p/%o\n`)...)
		if strings.Count(out, "\n") != test.records {
			t.Errorf("%s: %d records, want %d", test.args, strings.Count(out, "\n"), test.records)
		}
		if (code == 1) != test.fails || strings.Contains(errs, sentence) != test.fails || strings.Count(errs, "\n") > 1 {
			t.Errorf("%s: exit %d: %s", test.args, code, errs)
		}
	}
	if _, errs, code := n.sluice("", "cluster", "status", "--admin", n.admin); code != 1 || !strings.Contains(errs, "the broker's log at start has details") {
		t.Errorf("status: exit %d: %s", code, errs)
	}
	_, errs, code := n.sluice("more\n", "produce", "t", "--partition", "0", "--timeout", "3s")
	if code != 1 || !strings.Contains(errs, "topic t: partition 0: the broker cannot read or write its records (KAFKA_STORAGE_ERROR)") {
		t.Errorf("produce: exit %d: %s", code, errs)
	}
	if out := n.must("more\n", "produce", "t", "--partition", "1", "--timeout", "10s"); !strings.Contains(out, "produced 1 record") {
		t.Errorf("produce to the other: %s", out)
	}
	// consume --follow reports the damaged partition and goes on with the others.
	cmd := exec.Command(binary, "consume", "t", "--follow", "--from", "end", "--broker", n.addr)
	cmd.Env = append(os.Environ(), "SLUICE_DATA_DIR="+n.dir)
	said, out := &output{}, &output{}
	cmd.Stderr, cmd.Stdout = said, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	within(t, 30*time.Second, "it is said", func() bool { return strings.Contains(said.String(), sentence) })
	n.must("news\n", "produce", "t", "--partition", "1")
	within(t, 30*time.Second, "the others go on", func() bool { return out.String() == "news\n" })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("it ended with %v: %s", err, said)
	}
}

// A consumer does not wait for given-up offsets at the end of a partition: it ends without them.
func TestConsumeEndsBehindWhatWasGivenUp(t *testing.T) {
	b := lossy(t)
	b.must("", "topic", "create", "t")
	b.fillObjects(2, "t")
	if err := os.Remove(objectAt(t, b.places(), "t", perObject).path); err != nil {
		t.Fatal(err)
	}
	out, errs, code := b.sluice("", "consume", "t", "--timeout", "3s", "--format", `%o\n`)
	if code != 1 || strings.Count(out, "\n") != perObject || !strings.Contains(errs, "topic t: partition 0, at offset 10: ") {
		t.Errorf("lost: exit %d, %q, %s", code, out, errs)
	}
	_, errs, code = b.sluice("", "cluster", "status", "--admin", b.admin)
	if code != 1 || !strings.Contains(errs, "`sluice object verify --metadata` reads all objects") || strings.Contains(errs, "log at start") {
		t.Errorf("status: exit %d: %s", code, errs)
	}
	b.must("", "object", "give-up", "t", "--partition", "0", "--from", "10", "--to", "19", "--admin", b.admin)
	for _, test := range []struct {
		args    string
		records int
	}{{"consume t", perObject}, {"consume t --group g", perObject}, {"consume t --group g", 0}} {
		out, errs, code := b.sluice("", append(strings.Fields(test.args), "--format", `%o\n`)...)
		if code != 0 || errs != "" || strings.Count(out, "\n") != test.records {
			t.Errorf("%s: exit %d, %q, %s", test.args, code, out, errs)
		}
	}
}
