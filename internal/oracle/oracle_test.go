//go:build oracle

package oracle

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the differences that are not on purpose to "+listFile)

// scenarios returns all scenarios, sorted by name.
func scenarios() []scenario {
	all := slices.Concat(connectionScenarios(), produceScenarios(), readScenarios(), topicScenarios(), configScenarios(), groupScenarios(), toolScenarios())
	slices.SortFunc(all, func(a, b scenario) int { return strings.Compare(a.name, b.name) })
	return all
}

// Sluice responds as Kafka does, except for the listed differences.
func TestSluiceAnswersAsKafka(t *testing.T) {
	text, err := os.ReadFile(listFile)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", listFile, err)
	}
	kafka, sluice := startKafka(t, jars(t)), startSluice(t)
	differences, played, answers := found{}, map[string]bool{}, 0
	all := scenarios()
	for _, sc := range all {
		if played[sc.name] {
			t.Fatalf("two scenarios are named %s", sc.name)
		}
		t.Run(sc.name, func(t *testing.T) {
			answers += compare(t, kafka, sluice, sc, differences)
			played[sc.name] = true
		})
	}
	t.Logf("%d answers of %d scenarios were compared", answers, len(played))
	complete := len(played) == len(all)
	if *update && complete && !t.Failed() {
		if err := rewrite(string(text), differences.unexplained(entries, true)); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, line := range differences.unexplained(entries, false).lines() {
		t.Errorf("Sluice answers otherwise than Kafka (scenario/step | versions | path | Kafka | Sluice):\n%s", line)
	}
	stale(t, entries, played, complete)
}

// common returns the versions in which each API is played: those that both brokers advertise, or
// Kafka's if Sluice does not serve the API.
func common(kafka, sluice map[int16]span) map[int16]span {
	out := map[int16]span{}
	for key, k := range kafka {
		out[key] = k
		if s, ok := sluice[key]; ok {
			out[key] = span{max(k.min, s.min), min(k.max, s.max)}
		}
	}
	return out
}

// compare plays a scenario in each version against both brokers and adds the differences to into.
func compare(t *testing.T, kafka, sluice *side, sc scenario, into found) (answers int) {
	shared := common(kafka.versions, sluice.versions)
	versions, ok := shared[sc.key]
	if !ok {
		t.Fatalf("Kafka does not announce API key %d", sc.key)
	}
	for v := versions.min; v <= versions.max; v++ {
		var said [2][]answer
		for i, s := range []*side{kafka, sluice} {
			p := newPlay(t, s, shared, sc, v)
			sc.run(p)
			p.close()
			said[i] = p.answers
		}
		answers += len(said[0])
		collect(sc.name, v, said, into)
	}
	return answers
}

// refused reports whether the brokers returned different error codes in a step. Its follow-up
// steps, named after it plus " > ", are then not compared.
func refused(step string, said [2][]answer) bool {
	var leaves [2]map[string]string
	for i, answers := range said {
		for _, a := range answers {
			if a.step == step {
				leaves[i] = a.leaves
			}
		}
	}
	for path, values := range diff(leaves[0], leaves[1]) {
		if strings.HasSuffix(path, "ErrorCode") && values[0] != values[1] {
			return true
		}
	}
	return false
}

func collect(name string, version int16, said [2][]answer, into found) {
	add := func(step, path, kafka, sluice string) {
		d := difference{name + "/" + step, path, kafka, sluice}
		into[d] = append(into[d], version)
	}
	for _, k := range said[0] {
		at := slices.IndexFunc(said[1], func(s answer) bool { return s.step == k.step })
		if base, _, ok := strings.Cut(k.step, " > "); ok && refused(base, said) {
			continue
		}
		if at < 0 {
			add(k.step, "answer", k.leaves["answer"], "the scenario did not come here")
			continue
		}
		for path, values := range diff(k.leaves, said[1][at].leaves) {
			add(k.step, path, values[0], values[1])
		}
	}
	for _, s := range said[1] {
		base, _, follows := strings.Cut(s.step, " > ")
		if (!follows || !refused(base, said)) && !slices.ContainsFunc(said[0], func(k answer) bool { return s.step == k.step }) {
			add(s.step, "answer", "the scenario did not come here", s.leaves["answer"])
		}
	}
}

// Entries match the differences they list and are marked as used; malformed lists are rejected; below
// a missing element nothing is reported.
func TestDifferences(t *testing.T) {
	text := fmt.Sprintf("%s\n# words\n* | * | *.ErrorMessage.text | * | *\n%s\n# later\na/b | 1-2 | X[t.Y].Z | \"\" | 7\n", onPurpose, asFound)
	entries, err := parse(text)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	f := found{
		{"a/b", "X[t.Y].Z", "", "7"}:                     {1, 2, 4},
		{"c/d", "Topics[t].ErrorMessage.text", "x", "y"}: {3},
	}
	left := f.unexplained(entries, false)
	if got := left.lines(); len(got) != 1 || got[0] != `a/b | 4-4 | X[t.Y].Z | "" | 7` {
		t.Errorf("left is %q", got)
	}
	if got := f.unexplained(entries, true).lines(); len(got) != 2 {
		t.Errorf("to be mended are %q", got)
	}
	if !entries[1].used[1] || !entries[1].used[2] || len(entries[1].used) != 2 {
		t.Errorf("used are %v", entries[1].used)
	}
	for _, bad := range []string{"a | b", onPurpose + "\na/b | * | c | d | e", "# r\na/b | * | c | d | e", onPurpose + "\n# r\na/b | x | c | d | e"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is taken for a list", bad)
		}
	}
	got := diff(map[string]string{"answer": "answered", "A": "array", "A[1]": "present", "A[1].B": "2"}, map[string]string{"answer": "answered", "A": "array"})
	if len(got) != 1 || got["A[1]"] != [2]string{"present", nothing} {
		t.Errorf("the differences are %v", got)
	}
}
