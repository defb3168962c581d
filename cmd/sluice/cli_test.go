package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/config"
)

// runCLI runs a command in this process.
func runCLI(env map[string]string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	c := &cli{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(k string) string { return env[k] }}
	code = run(context.Background(), c, args)
	return out.String(), errs.String(), code
}

// An invalid command line exits with 2 and prints one sentence with the reason.
func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"nonsense":                                `unknown command "nonsense"`,
		"topic":                                   "needs one of alter, create, delete, describe, list",
		"topic nonsense":                          `has no command "nonsense"`,
		"topic create":                            "accepts 1 arg(s), received 0; usage: sluice topic create NAME [flags]",
		"config get":                              "usage: sluice config get topic NAME [KEY...] | get limits [PIPELINE/STAGE] [flags]",
		"config set limits":                       "usage: sluice config set topic NAME KEY=VALUE...",
		"topic create a b":                        "accepts 1 arg",
		"topic create a --partitions 0":           "--partitions must be at least 1",
		"topic create a --partitions x":           "invalid argument",
		"topic create a --config nothing":         "must be KEY=VALUE",
		"topic alter a":                           "nothing to alter",
		"topic list --nonsense":                   "unknown flag: --nonsense",
		"produce t --acks some":                   "--acks \"some\" must be all, leader or none",
		"produce t --compression rar":             "must be none, gzip, snappy, lz4 or zstd",
		"produce t --header x":                    "must be KEY=VALUE",
		"produce t --rate -1":                     "--rate must not be negative",
		"produce t --partition -3":                "--partition must not be negative",
		"consume t --from yesterday":              "is neither start, end, an offset, nor a time",
		"consume t --count -1":                    "--count must not be negative",
		"consume t --group g --partition 1":       "cannot be given with --group",
		"consume t --format %q{":                  "--format",
		"group reset g":                           "give the position",
		"group reset g --to-offset -1":            "must not be negative",
		"group reset g --to-datetime x":           "is not a time",
		"group reset g --to-latest --to-earliest": "none of the others can be",
		"topic list --transport smoke":            "transport \"smoke\" is not known",
		"topic list --broker here":                "must be HOST:PORT",
		"config get everything":                   "say what to get",
		"config set limits batch linger_us=1":     "must be PIPELINE/STAGE",
		"config set limits a/b c=d":               "must be a whole number",
		"config print nothing":                    "no settings \"nothing\" are shipped",
		"broker":                                  `required flag(s) "config" not set`,
		"dev extra":                               "unknown command \"extra\"",
		"dev --listen here":                       "must be HOST:PORT",
		"dev --log-level loud":                    "log.level must be one of",
		"object dump --store mem://":              "needs the keys",
	} {
		t.Run(line, func(t *testing.T) {
			env := map[string]string{"SLUICE_DATA_DIR": t.TempDir()}
			_, errs, code := runCLI(env, strings.Fields(line)...)
			if code != 2 || !strings.Contains(errs, want) {
				t.Errorf("exit %d: %s", code, errs)
			}
			if strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "sluice: ") {
				t.Errorf("not one line: %q", errs)
			}
		})
	}
}

func TestHelpAndVersionAreFine(t *testing.T) {
	for _, line := range []string{"help", "--help", "topic --help", "produce --help", "version", "version --json", "completion bash",
		"completion zsh", "completion fish", "config print", "config print controller", "config print broker --json"} {
		if out, errs, code := runCLI(nil, strings.Fields(line)...); code != 0 || out == "" || errs != "" {
			t.Errorf("%s: exit %d, %d bytes, %s", line, code, len(out), errs)
		}
	}
}

// Every command treats the argument help as a request for help, with or without flags, and not
// as a topic or file.
func TestHelpIsNoArgument(t *testing.T) {
	var ask func(cmd *cobra.Command, path ...string)
	ask = func(cmd *cobra.Command, path ...string) {
		for _, child := range cmd.Commands() {
			ask(child, append(slices.Clone(path), child.Name())...)
		}
		if len(path) == 0 || path[0] == "help" {
			return
		}
		for _, flags := range [][]string{nil, {"--json"}, {"--timeout", "1s"}} {
			line := append(append(slices.Clone(path), "help"), flags...)
			env := map[string]string{"SLUICE_DATA_DIR": t.TempDir()}
			if out, errs, code := runCLI(env, line...); code != 0 || errs != "" || !strings.Contains(out, "Usage:") || !strings.Contains(out, strings.Join(path, " ")) {
				t.Errorf("%s: exit %d, %q, %s", line, code, out, errs)
			}
		}
	}
	ask(newRoot(&cli{getenv: func(string) string { return "" }}))
	for _, line := range []string{"produce -- help", "topic create -- help"} {
		if out, errs, code := runCLI(map[string]string{"SLUICE_DATA_DIR": t.TempDir()}, append([]string{"--broker", "127.0.0.1:1", "--transport", "tcp", "--timeout", "1s"}, strings.Fields(line)...)...); code != 1 {
			t.Errorf("%s is taken for a question: exit %d, %s, %s", line, code, out, errs)
		}
	}
}

// The help shows no default that only stands for "not given", and no library function names.
func TestHelpSaysNoPlaceholders(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			look(child)
		}
		for _, wrong := range []string{"(default -1)", "(default [])", "franz-go", "RecordFormatter"} {
			if text := cmd.Long + cmd.UsageString(); strings.Contains(text, wrong) {
				t.Errorf("%s says %s:\n%s", cmd.CommandPath(), wrong, text)
			}
		}
	}
	look(newRoot(&cli{getenv: func(string) string { return "" }}))
}

// The help of consume describes --format correctly.
func TestFormatsOfTheHelp(t *testing.T) {
	help := newConsume(&cli{}).Long
	r := &kgo.Record{Topic: "orders", Partition: 3, Offset: 42, Key: []byte("k"), Value: []byte("val"), LeaderEpoch: 5, ProducerID: 6, ProducerEpoch: 7,
		Timestamp: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("b")}}}
	for verb, want := range map[string]string{"%t": "orders", "%T": "6", "%k": "k", "%K": "1", "%v": "val", "%V": "3", "%p": "3", "%o": "42", "%e": "5", "%H": "1", "%h{%k=%v }": "a=b ",
		"%d": "1769860800000", "%x": "6", "%y": "7", "%i": "1", "%a{compression}": "none", "%k{hex}": "6b", "%v{base64}": "dmFs", "%o{hex}": "2a",
		"%d{strftime[%F %T]}": "2026-01-31 12:00:00", "%d{go[2006-01-02 15:04:05]}": "2026-01-31 12:00:00", "%%": "%", "%{": "{", "%}": "}", `\\`: `\`, `\x00`: "\x00", `\r`: "\r"} {
		if !strings.Contains(help, verb) {
			t.Errorf("the help does not say %s", verb)
		}
		f, err := kgo.NewRecordFormatter(verb)
		if err != nil {
			t.Errorf("%s: %v", verb, err)
		} else if got := string(f.AppendRecord(nil, r)); got != want {
			t.Errorf("%s prints %q, want %q", verb, got, want)
		}
	}
}

// Commands suggested in messages work as printed, whatever the name.
func TestNamesInAdvice(t *testing.T) {
	for name, want := range map[string]string{"orders": "topic create orders`", "help": "topic create -- help`", "-x": "topic create -- -x`"} {
		if err := refusal("topic", name, kerr.UnknownTopicOrPartition, ""); !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestCountsOfObjects(t *testing.T) {
	for want, n := range map[string][2]int{
		"0 objects in the metadata are intact": {0, 0},
		"1 object in the metadata is intact; 1 other is unreferenced: it is being uploaded, or will be deleted":        {1, 1},
		"2 objects in the metadata are intact; 3 others are unreferenced: they are being uploaded, or will be deleted": {2, 3},
	} {
		if got := intact(n[0], n[1]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Each error is one line in the log, as on the command line.
func TestErrorsInTheLogAreOneLine(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log, err := (&cli{stderr: &out}).logger(config.Log{Level: "info", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		log.Error("no", "err", fmt.Errorf("file: %w", errors.Join(errors.New("one"), errors.New("two"), nil)), "why", error(nil))
		if got := out.String(); !strings.Contains(got, "file: one; two") || strings.Contains(got, `\n`) {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestDataDirectory(t *testing.T) {
	for _, test := range []struct {
		flag string
		env  map[string]string
		want string
	}{
		{"/f", map[string]string{"SLUICE_DATA_DIR": "/s", "XDG_DATA_HOME": "/x"}, "/f"},
		{"", map[string]string{"SLUICE_DATA_DIR": "/s", "XDG_DATA_HOME": "/x"}, "/s"},
		{"", map[string]string{"XDG_DATA_HOME": "/x"}, "/x/sluice"},
	} {
		c := &cli{dataDir: test.flag, getenv: func(k string) string { return test.env[k] }}
		if got, err := c.dataDirectory(); err != nil || got != test.want {
			t.Errorf("%s, %v, want %s", got, err, test.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixMilli()
	for s, want := range map[string]place{"start": {kind: atStart}, "end": {kind: atEnd}, "0": {kind: atOffset}, "17": {atOffset, 17},
		"@17": {atTime, 17}, "2026-01-31T12:00:00Z": {atTime, noon}, "2026-01-31T13:00:00+01:00": {atTime, noon}} {
		if got, err := parsePlace(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "@", "@x", "tomorrow", "2026-13-01"} {
		if got, err := parsePlace(s); err == nil {
			t.Errorf("%q is %+v", s, got)
		}
	}
}

func TestLines(t *testing.T) {
	for _, test := range []struct {
		in   string
		nul  bool
		want []string
	}{
		{"", false, nil},
		{"a\nb\n", false, []string{"a", "b"}},
		{"a\n\nb", false, []string{"a", "", "b"}},
		{"a\r\n", false, []string{"a\r"}},
		{"a\nb\x00c", true, []string{"a\nb", "c"}},
	} {
		out := make(chan []byte, 16)
		if err := readLines(strings.NewReader(test.in), test.nul, out, nil); err != nil {
			t.Fatal(err)
		}
		close(out)
		var got []string
		for l := range out {
			got = append(got, string(l))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: %q", test.in, got)
		}
	}
	err := readLines(strings.NewReader(strings.Repeat("x", maxLine+1)), false, make(chan []byte, 1), nil)
	if err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("an endless line: %v", err)
	}
}

func TestRecordsOfLines(t *testing.T) {
	p := &production{separator: "::", partition: -1}
	r, err := p.record([]byte("k::v::w"))
	if err != nil || string(r.Key) != "k" || string(r.Value) != "v::w" {
		t.Errorf("%q=%q, %v", r.Key, r.Value, err)
	}
	if _, err := p.record([]byte("nothing")); err == nil {
		t.Error("a line without separator was taken")
	}
	p.separator = ""
	if r, err := p.record([]byte("a")); err != nil || r.Key != nil {
		t.Errorf("key %q, %v", r.Key, err)
	}
}

func TestOneLine(t *testing.T) {
	err := errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("a")), errors.New("c\nd"))
	if got := oneLine(err); got != "a; b; c; d" {
		t.Error(got)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_500_000: "1.5 MB", 2e9: "2.0 GB", 5e15: "5000.0 TB"} {
		if got := size(n); got != want {
			t.Errorf("%f is %s, want %s", n, got, want)
		}
	}
	if got := plural(1, "batch") + ", " + plural(2, "batch") + ", " + plural(0, "record"); got != "1 batch, 2 batches, 0 records" {
		t.Error(got)
	}
}
