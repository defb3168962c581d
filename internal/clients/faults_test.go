//go:build clients

package clients

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// kill sends SIGKILL.
func (b *broker) kill() {
	b.t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		b.t.Fatal(err)
	}
	<-b.over
}

// An idempotent producer of librdkafka survives kill -9 of the broker: every line is in the log
// once, in order.
func TestKcatProducesThroughKillNine(t *testing.T) {
	b := newBroker(t)
	b.createTopic("ledger", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kcat", "-b", b.addr, "-P", "-E", "-t", "ledger", "-p", "0", "-X", "enable.idempotence=true",
		"-X", "linger.ms=1", "-X", "reconnect.backoff.max.ms=500")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs := &output{}
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const total, killAt = 200_000, 100_000
	w := bufio.NewWriter(stdin)
	var want strings.Builder
	for i := range total {
		line := fmt.Sprintf("line %d of a ledger\n", i)
		want.WriteString(line)
		if _, err := w.WriteString(line); err != nil {
			t.Fatal(err)
		}
		if i == killAt {
			b.kill()
			b.start()
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("kcat: %v\n%s", err, errs)
	}
	got := b.kcat("", "-C", "-t", "ledger", "-p", "0", "-e", "-q")
	if got != want.String() {
		t.Errorf("%d lines came back of %d, or they differ, or their order", strings.Count(got, "\n"), total)
	}
}

// member is a kcat process that is a member of a group and reports what it reads.
type member struct {
	cmd  *exec.Cmd
	over sync.WaitGroup
}

func (b *broker) join(ctx context.Context, group, topic string, read chan<- string) *member {
	b.t.Helper()
	m := &member{cmd: exec.CommandContext(ctx, "kcat", "-b", b.addr, "-G", group, "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500",
		"-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=200", "-q", "-u", "-f", "%s\n", topic)}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	m.over.Go(func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			read <- s.Text()
		}
		_, _ = io.Copy(io.Discard, out) // drain output printed before the kill
	})
	return m
}

// leave kills a member without leaving the group, which notices only at the session timeout.
func (m *member) leave() {
	_ = m.cmd.Process.Kill() // may have exited already
	m.over.Wait()
	_ = m.cmd.Wait() // fails because of the kill
}

// The partitions of a dead member are reassigned to the others, and no record stays unread.
func TestKcatGroupOutlivesAMember(t *testing.T) {
	b := newBroker(t)
	b.createTopic("jobs", 6)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	read := make(chan string, 100_000) // large enough for all records, including those read twice
	seen := map[string]bool{}
	await := func(n int) {
		t.Helper()
		for len(seen) < n {
			select {
			case line := <-read:
				seen[line] = true
			case <-ctx.Done():
				t.Fatalf("%d of %d records were read in time", len(seen), n)
			}
		}
	}
	produce := func(from, to int) {
		var s strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&s, "%d\n", i)
		}
		b.kcat(s.String(), "-P", "-t", "jobs", "-X", "sticky.partitioning.linger.ms=0", "-X", "batch.num.messages=5")
	}
	first, second := b.join(ctx, "crew", "jobs", read), b.join(ctx, "crew", "jobs", read)
	produce(0, 600)
	await(600)
	first.leave()
	produce(600, 1200)
	await(1200) // the dead member's session has to expire first
	second.leave()
}
