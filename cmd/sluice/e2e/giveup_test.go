package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// all consumes at least n records of a single-partition topic and returns their offsets, as given in
// the values.
func (b *broker) all(topic string, n int) []int64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	got, err := b.poll(ctx, func(got map[string]*polled) bool { return len(got[topic].values) >= n }, topic)
	if err != nil {
		b.t.Fatalf("%s: %v; %d records, %v", topic, err, len(got[topic].values), got[topic].errs)
	}
	var offsets []int64
	for _, v := range got[topic].values {
		var o int64
		if _, err := fmt.Sscanf(v, "%d|", &o); err != nil {
			b.t.Fatal(err)
		}
		offsets = append(offsets, o)
	}
	return offsets
}

// Objects are lost for good. `object verify --metadata` lists the lost records, and `object give-up`
// lets consumers skip them. Only unreadable records within the given range are skipped; this also
// holds after kill -9 and after compaction.
func TestLostRecordsAreGivenUp(t *testing.T) {
	const rounds = 6
	b := lossy(t)
	topics := []string{"gone", "block", "fine"}
	for _, topic := range topics {
		b.must("", "topic", "create", topic)
	}
	b.fillObjects(rounds, topics...)
	verify := []string{"object", "verify", "--metadata", "--admin", b.admin}
	if out := b.must("", verify...); !strings.Contains(out, " intact") {
		t.Errorf("before: %s", out)
	}
	other := newBroker(t)
	if _, errs, code := b.sluice("", append(verify, "--data-dir", other.dir)...); code != 1 || !strings.Contains(errs, "the store belongs to the cluster") {
		t.Errorf("in the store of another cluster: code %d: %s", code, errs)
	}
	places := b.places()
	for _, topic := range []string{"gone", "block"} {
		p := objectAt(t, places, topic, perObject)
		own, err := os.ReadFile(p.path)
		if err == nil {
			err = damages[map[string]string{"gone": "removed", "block": "block"}[topic]](p.path, own, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code := b.sluice("", verify...)
	if code != 1 || !strings.Contains(out, "missing: gone/0 offsets 10 to 19 in object") || !strings.Contains(out, "damaged: block/0 offsets 10 to 1") ||
		strings.Contains(out, "fine/0") || !strings.Contains(errs, "1 range missing, 1 range damaged") {
		t.Errorf("verify: code %d\n%s%s", code, out, errs)
	}
	giveUp := func(topic string, from, to int) (string, string, int) {
		return b.sluice("", "object", "give-up", topic, "--partition", "0", "--from", fmt.Sprint(from), "--to", fmt.Sprint(to), "--admin", b.admin)
	}
	for _, refused := range []struct {
		topic    string
		from, to int
		words    string
	}{
		{"fine", 0, 59, "all records of fine/0"}, {"gone", 10, 12, "offsets 10 to 19 cannot be read either"}, {"gone", 0, 9, "can be read"},
		{"gone", 60, 69, "no object has offsets 60 to 69"}, {"none", 0, 9, "there is no partition none/0"}, {"gone", 9, 1, "must be given"},
	} {
		if out, errs, code := giveUp(refused.topic, refused.from, refused.to); code == 0 || !strings.Contains(errs, refused.words) {
			t.Errorf("%+v: code %d, %s%s", refused, code, out, errs)
		}
	}
	if out, errs, code := giveUp("gone", 5, 25); code != 0 || !strings.Contains(out, "gone/0: gave up offsets 10 to 19") {
		t.Fatalf("gone: code %d, %s%s", code, out, errs)
	}
	out, errs, code = giveUp("block", 10, 19)
	if code != 0 || !strings.Contains(out, "block/0: gave up offsets 10 to 1") {
		t.Fatalf("block: code %d, %s%s", code, out, errs)
	}
	var base, last int64
	if _, err := fmt.Sscanf(out, "block/0: gave up offsets %d to %d", &base, &last); err != nil || base != 10 || last >= 19 {
		t.Errorf("of one damaged block %s", out)
	}
	if out, errs, code := b.sluice("", verify...); code != 0 {
		t.Errorf("after: code %d\n%s%s", code, out, errs)
	}
	check := func(when string) {
		for topic, lost := range map[string][2]int64{"gone": {10, 19}, "block": {base, last}, "fine": {-1, -1}} {
			var want []int64
			for o := range int64(rounds * perObject) {
				if o < lost[0] || o > lost[1] {
					want = append(want, o)
				}
			}
			if got := b.all(topic, len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %s has offsets %v, want %v", when, topic, got, want)
			}
		}
		if err := b.offsetAt("gone", 1); err != nil {
			t.Errorf("%s: a search by time: %v", when, err)
		}
		if n := b.metric("sluice_unreadable_locations"); n != 0 {
			t.Errorf("%s: %v places are unreadable", when, n)
		}
	}
	check("at once")
	eventually(t, "both are in the log", func() bool { return strings.Count(b.log.String(), "records were given up, as requested") >= 2 })
	if n := strings.Count(b.log.String(), "records were given up, as requested"); n != 2 {
		t.Errorf("%d lines in the log", n)
	}
	b.kill()
	b.start()
	check("after kill -9")
	b.must("", "config", "set", "limits", "compact/plan", "min_objects=4", "check_interval_ms=100", "--admin", b.admin)
	b.must("", "config", "set", "limits", "compact/compact", "paused=0", "--admin", b.admin)
	until(t, b, "the objects are merged", 30*time.Second, func() bool { return b.metric("sluice_compaction_replaced_total") >= 3*rounds })
	check("after compaction")
}

// Nothing can be given up while the whole object store is unavailable.
func TestNothingIsGivenUpWhileTheStoreIsAway(t *testing.T) {
	b := lossy(t)
	b.must("", "topic", "create", "t")
	b.fillObjects(1, "t")
	objects := b.dir + "/objects"
	if err := os.Rename(objects, objects+".away"); err != nil {
		t.Fatal(err)
	}
	_, errs, code := b.sluice("", "object", "give-up", "t", "--partition", "0", "--from", "0", "--to", "9", "--admin", b.admin)
	if code == 0 || !strings.Contains(errs, "nothing was given up") {
		t.Errorf("code %d: %s", code, errs)
	}
	if err := errors.Join(os.RemoveAll(objects), os.Rename(objects+".away", objects)); err != nil {
		t.Fatal(err)
	}
	if got := b.all("t", perObject); len(got) != perObject {
		t.Errorf("offsets %v", got)
	}
	if err := b.offsetAt("t", 1); err != nil && !errors.Is(err, kerr.KafkaStorageError) {
		t.Error(err)
	}
}
