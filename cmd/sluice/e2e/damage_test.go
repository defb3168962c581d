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

// Damage at rest: while a broker is stopped, a file or directory in its data directory is damaged.
// Then it starts again. The outcome must be one of these, or the loss is silent:
//
//	whole    everything acknowledged is still there
//	refused  the start fails with a message that names what is damaged or outdated
//	named    the broker serves; the log at WARN or ERROR, cluster status and a metric show each
//	         partition or shard that has lost something, and clients that request lost data
//	         get an error
//
// No offset may be assigned twice. A refused start must not have damaged anything else.
//
// SLUICE_DAMAGE=all (make damage) tries every harm on each file and directory, and starts the broker
// twice. The default is two harms per kind of file. SLUICE_DAMAGE_SEED varies the damaged positions.
// SLUICE_DAMAGE_ONLY selects cases by a regular expression.

// harm is one kind of damage to a file. A nil do removes the file.
type harm struct {
	name string
	do   contents
}

// contents returns the damaged contents of a file with contents b. old is the file's contents at the
// first stop, and other the contents of another file of the same kind; each is b if there is none.
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

// restDamage is one test case. do damages the data directory and reports whether that changed
// anything.
type restDamage struct {
	name  string
	files []string // the damaged files or directories, relative to the data directory
	file  bool     // files is a single regular file
	do    func(n *restNode) bool
}

// harmFile applies h to a file and reports whether that changed it. like is another file of its
// kind, or empty.
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

// swap removes a file or directory and, if older is set, puts the older copy in its place.
func (n *restNode) swap(name string, older bool) {
	n.t.Helper()
	if err := os.RemoveAll(n.path(name)); err != nil {
		n.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(n.old, name)); older && err == nil {
		copyTree(n.test, filepath.Join(n.old, name), n.path(name))
	}
}

// list returns the node's files and directories, relative to its data directory.
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

// together lists files and directories that are missing or outdated together, as when a disk is not
// mounted or was restored from a backup. No group has all of them and the object store: that would be
// a complete node of an earlier time, which cannot be detected.
var together = [][]string{
	{"meta", "meta.guard"}, {"wal", "wal.guard"}, {"meta", "wal"}, {"meta.guard", "wal.guard"},
	{"meta", "meta.guard", "wal", "wal.guard"}, {"LOCK", "meta", "meta.guard", "tls", "wal", "wal.guard"},
}

// damages returns all cases.
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

// kindOf returns a file's name without the numbers that differ between files of one kind.
func kindOf(name string) string {
	return hexNumber.ReplaceAllString(name, "#")
}

var hexNumber = regexp.MustCompile(`[0-9a-f-]*[0-9][0-9a-f-]*`)

// byKind groups the damages by kind of file, and rotates each group so that they begin with different
// harms. It omits directories below the top level, since the files in them are damaged anyway.
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
	damageWorkers = 2 // nodes tested in parallel
	ofEachKind    = 2 // damages per kind of file
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

// try runs one case and counts its outcome. It reports whether the case changed any file.
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

// outcome starts the damaged node, twice with SLUICE_DAMAGE=all, and returns the outcome and
// everything that is wrong with it.
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

// refusal checks the error message of a refused start, and that the start did no damage itself: once
// the damaged files are restored, everything is there.
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

// names reports whether text names one of the damaged files or what it belongs to.
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

// judge examines a node that serves.
func (n *restNode) judge(d restDamage) (outcome string, wrong []string) {
	n.t.Helper()
	lost, wrong := n.survey()
	wrong = append(wrong, n.unsaid(d, lost)...)
	wrong = append(wrong, n.workOn(lost)...)
	if len(lost) > 0 {
		return "named", wrong
	}
	more, worse := n.survey() // including what workOn has written
	if wrong = append(wrong, worse...); len(more) > 0 {
		wrong = append(wrong, fmt.Sprintf("lost since: %v", more))
	}
	return "whole", wrong
}

// unsaid returns the losses that are not reported everywhere: in the log, in a metric, by cluster
// status, and by an error to clients that request the data.
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

// unsaidByStatus returns the losses that cluster status does not report. It must name a damaged
// partition itself, and at least one metadata shard for a lost group.
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
