package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Damage at rest: a broker has stopped, a file or directory of what it has on disk is harmed, and it
// starts again. One of these must be so, or the loss is silent:
//
//	whole    everything that was acknowledged is there
//	refused  the start ends with a sentence that names what is damaged or behind
//	named    it serves; a line at WARN or ERROR names each partition or shard that has
//	         lost something, cluster status and a metric too, and whoever asks for what is lost
//	         gets an error
//
// and no offset is given out again. A start that was refused must have harmed nothing else.
//
// SLUICE_DAMAGE=all does everything to each file and directory, and starts twice (make damage); else
// each kind of file has two kinds of damage. SLUICE_DAMAGE_SEED chooses other places, SLUICE_DAMAGE_ONLY cases by a regular expression.

// harm is one kind of damage to a file. It returns what becomes of the contents b. old is what the file
// had at the stop before, other what another file of its kind has; both are b if there is none.
type harm struct {
	name string
	do   contents
}

type contents func(r *rand.Rand, b, old, other []byte) []byte

func flipIn(from, to float64) contents {
	return func(r *rand.Rand, b, _, _ []byte) []byte {
		b = slices.Clone(b)
		if used := len(bytes.TrimRight(b, "\x00")); used > 0 {
			b[int((from+(to-from)*r.Float64())*float64(used))] ^= 1 << r.IntN(8)
		}
		return b
	}
}

func cutTo(share float64) contents {
	return func(r *rand.Rand, b, _, _ []byte) []byte {
		used := float64(len(bytes.TrimRight(b, "\x00")))
		return b[:int(used*share*(0.5+r.Float64()/2))]
	}
}

var harms = []harm{
	{"flip early", flipIn(0, 0.05)},
	{"zeroed", func(_ *rand.Rand, b, _, _ []byte) []byte { return make([]byte, len(b)) }},
	{"removed", nil},
	{"cut to nothing", func(*rand.Rand, []byte, []byte, []byte) []byte { return []byte{} }},
	{"flip midway", flipIn(0.05, 0.95)},
	{"cut early", cutTo(0.5)},
	{"older", func(_ *rand.Rand, _, old, _ []byte) []byte { return old }},
	{"another", func(_ *rand.Rand, _, _, other []byte) []byte { return other }},
	{"flip late", flipIn(0.95, 1)},
	{"cut late", cutTo(1)},
	{"last byte cut", func(_ *rand.Rand, b, _, _ []byte) []byte { return b[:max(0, len(b)-1)] }},
	{"sector zeroed", func(r *rand.Rand, b, _, _ []byte) []byte {
		b = slices.Clone(b)
		if sectors := (len(bytes.TrimRight(b, "\x00")) + 511) / 512; sectors > 0 {
			at := r.IntN(sectors) * 512
			clear(b[at:min(at+512, len(b))])
		}
		return b
	}},
	{"grown", func(_ *rand.Rand, b, _, _ []byte) []byte { return append(slices.Clone(b), make([]byte, 700)...) }},
}

// restDamage is one case: it harms the data directory, and reports whether that made a difference.
type restDamage struct {
	name  string
	files []string // that it concerns, relative to the data directory
	file  bool     // it is one file, not directories
	do    func(n *restNode) bool
}

// harmFile harms a file; like is another of its kind.
func (n *restNode) harmFile(name, like string, h harm, r *rand.Rand) bool {
	n.t.Helper()
	path := n.path(name)
	if h.do == nil {
		if err := os.Remove(path); err != nil {
			n.t.Fatal(err)
		}
		return true
	}
	b, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	old, other := b, b
	if was, err := os.ReadFile(filepath.Join(n.old, name)); err == nil {
		old = was
	}
	if like != "" {
		if other, err = os.ReadFile(n.path(like)); err != nil {
			n.t.Fatal(err)
		}
	}
	next := h.do(r, b, old, other)
	if bytes.Equal(b, next) {
		return false
	}
	if err := os.WriteFile(path, next, 0o600); err != nil {
		n.t.Fatal(err)
	}
	return true
}

// swap puts the older copy in the place of what is there, or nothing.
func (n *restNode) swap(name string, older bool) {
	n.t.Helper()
	if err := os.RemoveAll(n.path(name)); err != nil {
		n.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(n.old, name)); older && err == nil {
		copyTree(n.test, filepath.Join(n.old, name), n.path(name))
	}
}

// list returns the files and directories of the node, relative to its directory.
func (n *restNode) list() (files, dirs []string) {
	n.t.Helper()
	err := filepath.WalkDir(n.whole, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(n.whole, path)
		switch {
		case err != nil || name == ".":
			return err
		case e.IsDir():
			dirs = append(dirs, name)
		case e.Type().IsRegular():
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return files, dirs
}

// together are directories and files that are put back, or are away, at once: a disk that is not mounted, or
// was restored. All of them at once, the store too, is a node of an earlier time, which nothing can tell.
var together = [][]string{
	{"meta", "meta.guard"}, {"wal", "wal.guard"}, {"meta", "wal"}, {"meta.guard", "wal.guard"},
	{"meta", "meta.guard", "wal", "wal.guard"}, {"LOCK", "meta", "meta.guard", "tls", "wal", "wal.guard"},
}

// damages lists all cases.
func (n *restNode) damages(seed uint64) (all []restDamage) {
	n.t.Helper()
	files, dirs := n.list()
	for i, f := range files {
		like := ""
		for _, other := range files {
			if other != f && kindOf(other) == kindOf(f) {
				like = other
			}
		}
		for j, h := range harms {
			r := rand.New(rand.NewPCG(seed, uint64(i*len(harms)+j)))
			all = append(all, restDamage{h.name + ": " + f, []string{f}, true, func(n *restNode) bool { return n.harmFile(f, like, h, r) }})
		}
	}
	groups := slices.Clone(together)
	for _, d := range dirs {
		groups = append(groups, []string{d})
	}
	for _, g := range groups {
		for _, older := range []bool{false, true} {
			how := map[bool]string{false: "away", true: "older"}[older]
			all = append(all, restDamage{how + ": " + strings.Join(g, ", "), g, false, func(n *restNode) bool {
				for _, name := range g {
					n.swap(name, older)
				}
				return true
			}})
		}
	}
	return all
}

// kindOf is what a file is, without what differs between files of one kind.
func kindOf(name string) string {
	return hexNumber.ReplaceAllString(name, "#")
}

var hexNumber = regexp.MustCompile(`[0-9a-f-]*[0-9][0-9a-f-]*`)

// byKind divides the damages into those of one kind of file, beginning with another for each kind. Directories
// below the topmost are left out: the files in them are harmed.
func byKind(all []restDamage) (groups [][]restDamage) {
	at := map[string]int{}
	for _, d := range all {
		if !d.file && strings.Contains(d.files[0], string(filepath.Separator)) {
			continue
		}
		kind := kindOf(strings.Join(d.files, ", "))
		i, known := at[kind]
		if !known {
			i, at[kind] = len(groups), len(groups)
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], d)
	}
	for i, g := range groups {
		first := i % len(g)
		groups[i] = slices.Concat(g[first:], g[:first])
	}
	return groups
}

const (
	damageWorkers = 2 // nodes that are harmed at once
	ofEachKind    = 2 // damages of a kind of file
)

func TestDamageAtRest(t *testing.T) {
	seed := uint64(1)
	if s, err := strconv.ParseUint(os.Getenv("SLUICE_DAMAGE_SEED"), 10, 64); err == nil {
		seed = s
	}
	first := newRestNode(t, filepath.Join(t.TempDir(), "data"))
	first.prepare()
	only := regexp.MustCompile(os.Getenv("SLUICE_DAMAGE_ONLY"))
	all := slices.DeleteFunc(first.damages(seed), func(d restDamage) bool { return !only.MatchString(d.name) })
	groups := byKind(all)
	if everyDamage() {
		groups = slices.Collect(slices.Chunk(all, 1))
	}
	groups = append(groups, []restDamage{{name: "none", do: func(*restNode) bool { return true }}})
	var outcomes [damageWorkers]map[string]int
	t.Run("all", func(t *testing.T) {
		for w := range damageWorkers {
			outcomes[w] = map[string]int{}
			t.Run(fmt.Sprintf("worker %d", w), func(t *testing.T) {
				t.Parallel()
				n := newRestNode(t, filepath.Join(t.TempDir(), "data"))
				n.old, n.whole = first.old, first.whole
				for i := w; i < len(groups); i += damageWorkers {
					done := 0
					for _, d := range groups[i] {
						n.acked = first.acked.clone()
						if done < ofEachKind && n.try(d, outcomes[w]) {
							done++
						}
					}
				}
			})
		}
	})
	for outcome, n := range outcomes[1] {
		outcomes[0][outcome] += n
	}
	t.Logf("seed %d: %v", seed, outcomes[0])
	if only.String() == "" && (outcomes[0]["whole"] == 0 || outcomes[0]["refused"] == 0 || outcomes[0]["named"] == 0) {
		t.Errorf("the damages do nothing, or nothing is left by them: %v", outcomes[0])
	}
}

func everyDamage() bool { return os.Getenv("SLUICE_DAMAGE") == "all" }

// try does one case, and counts what became of it. It reports whether that made a difference to the files.
func (n *restNode) try(d restDamage, outcomes map[string]int) bool {
	n.t.Helper()
	n.restore()
	if !d.do(n) {
		return false
	}
	outcome, wrong := n.outcome(d)
	if len(wrong) > 0 {
		outcome = "SILENT"
		n.t.Errorf("%s: %s\nThe node printed\n%s", d.name, strings.Join(wrong[:min(8, len(wrong))], "\n\t"), tail(n.log.String(), 3000))
	}
	outcomes[outcome]++
	n.t.Logf("%-9s %s", outcome, d.name)
	return true
}

// outcome starts the node with a damage twice, and says what became of it, and what is wrong with that.
func (n *restNode) outcome(d restDamage) (outcome string, wrong []string) {
	n.t.Helper()
	if err := n.serve(); err != nil {
		return "refused", n.refusal(d, err)
	}
	outcome, wrong = n.judge(d)
	if len(wrong) > 0 || !everyDamage() {
		return outcome, wrong
	}
	n.stop()
	if err := n.serve(); err != nil {
		return "refused later", n.refusal(d, err)
	}
	again, wrong := n.judge(d)
	if outcome != again {
		outcome += ", then " + again
	}
	return outcome, wrong
}

// refusal checks the sentence of a start that was refused, and that the start has harmed nothing:
// with what was damaged put back everything is there.
func (n *restNode) refusal(d restDamage, err error) (wrong []string) {
	n.t.Helper()
	if !n.names(d, err.Error()) {
		wrong = append(wrong, "the sentence does not name what is damaged: "+err.Error())
	}
	for _, f := range d.files {
		if err := os.RemoveAll(n.path(f)); err != nil {
			n.t.Fatal(err)
		}
		copyTree(n.test, filepath.Join(n.whole, f), n.path(f))
	}
	if err := n.serve(); err != nil {
		return append(wrong, "with everything put back it is refused: "+err.Error())
	}
	lost, more := n.survey()
	if wrong = append(wrong, more...); len(lost) > 0 {
		wrong = append(wrong, fmt.Sprintf("with everything put back there is lost: %v", lost))
	}
	n.kill()
	return wrong
}

// names reports whether text names one of the files of a damage, or what they are.
func (n *restNode) names(d restDamage, text string) bool {
	for _, f := range d.files {
		top, _, _ := strings.Cut(f, string(filepath.Separator))
		words := []string{n.path(f), n.path(top) + " "}
		switch top {
		case "meta", "meta.guard":
			words = append(words, "the metadata", "metadata shard", "the data directory")
		case "wal":
			words = append(words, "the WAL in", "the data directory")
		case "wal.guard":
			words = append(words, "WAL's guard", "its guard")
		case "objects":
			words = append(words, "object store")
		}
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) }) {
			return true
		}
	}
	return false
}

var inShard = regexp.MustCompile(`(?:node|snapshot|snapshot-part|BOOTSTRAP)-(\d+)\b`)

// judge looks at a node that serves.
func (n *restNode) judge(d restDamage) (outcome string, wrong []string) {
	n.t.Helper()
	lost, wrong := n.survey()
	wrong = append(wrong, n.unsaid(d, lost)...)
	wrong = append(wrong, n.workOn(lost)...)
	if len(lost) > 0 {
		return "named", wrong
	}
	more, worse := n.survey() // with what was written since
	if wrong = append(wrong, worse...); len(more) > 0 {
		wrong = append(wrong, fmt.Sprintf("lost since: %v", more))
	}
	return "whole", wrong
}

// unsaid returns what is lost without a line in the log, a metric, cluster status and an error for
// who asks for it.
func (n *restNode) unsaid(d restDamage, lost []loss) (wrong []string) {
	n.t.Helper()
	if len(lost) == 0 {
		return nil
	}
	var lines []string
	for line := range strings.Lines(n.log.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			lines = append(lines, strings.TrimSpace(line)+" ")
		}
	}
	said := func(words ...string) bool {
		return slices.ContainsFunc(lines, func(line string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
		})
	}
	shard := false
	for _, f := range d.files {
		if m := inShard.FindStringSubmatch(f); m != nil {
			id, _ := strconv.Atoi(m[1])
			shard = shard || said(fmt.Sprintf(" shard=%d ", id-1))
		}
	}
	for _, l := range lost {
		if l.told == nil {
			wrong = append(wrong, "in silence: "+l.what)
		} else if errors.Is(l.told, errSilence) {
			wrong = append(wrong, "waits for ever: "+l.what)
		}
		named := l.group == "" && (said(" topic="+l.place.topic+" ", fmt.Sprintf(" partition=%d ", l.place.partition)) ||
			said("records cannot be read", " object=", l.place.String()+" offsets "))
		if !named && !shard {
			wrong = append(wrong, "no line names "+l.what)
		}
	}
	if n.metric("sluice_partitions_damaged")+n.metric("sluice_metadata_shards_offline")+n.metric("sluice_unreadable_locations") == 0 {
		wrong = append(wrong, "no metric shows it")
	}
	return append(wrong, n.unsaidByStatus(lost)...)
}

// unsaidByStatus returns what is lost and not named by cluster status: a partition by itself, a group by
// a metadata shard.
func (n *restNode) unsaidByStatus(lost []loss) (wrong []string) {
	n.t.Helper()
	out, errs, code := n.sluice("", "cluster", "status", "--admin", n.admin, "--json")
	var s struct {
		Damage struct {
			Shards     []struct{ Shard int }
			Partitions []struct {
				Topic     string
				Partition int32
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 1 {
		return []string{fmt.Sprintf("cluster status thinks that all is well: exit code %d, %v\n%s%s", code, err, out, errs)}
	}
	for _, l := range lost {
		named := l.group != "" && len(s.Damage.Shards) > 0
		for _, p := range s.Damage.Partitions {
			named = named || l.group == "" && l.place == restPartition{p.Topic, p.Partition}
		}
		if !named {
			wrong = append(wrong, "cluster status does not name "+l.what)
		}
	}
	return wrong
}
