package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// emit prints v as a JSON document on one line.
func (c *cli) emit(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "%s\n", b)
	return err
}

// say prints a notice on standard error.
func (c *cli) say(format string, args ...any) { fmt.Fprintf(c.stderr, "sluice: "+format+"\n", args...) }

// result prints v with --json, else the formatted text.
func (c *cli) result(v any, format string, args ...any) error {
	if c.json {
		return c.emit(v)
	}
	_, err := fmt.Fprintf(c.stdout, format+"\n", args...)
	return err
}

// table prints rows of columns under a header.
type table struct {
	w    *tabwriter.Writer
	rows int
}

func (c *cli) table(columns ...string) *table {
	t := &table{w: tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(t.w, strings.Join(columns, "\t"))
	return t
}

func (t *table) row(values ...any) {
	t.rows++
	for i, v := range values {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, v)
	}
	fmt.Fprintln(t.w)
}

func (t *table) flush() error { return t.w.Flush() }

// progress shows the progress of long work on standard error, if that is a terminal: at most
// ten times a second, on one line.
type progress struct {
	w    io.Writer // nil: not a terminal
	last time.Time
	wide int
}

func (c *cli) progress() *progress {
	if !isTerminal(c.stderr) {
		return &progress{}
	}
	return &progress{w: c.stderr}
}

func (p *progress) show(format string, args ...any) {
	now := time.Now()
	if p.w == nil || now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	line := fmt.Sprintf(format, args...)
	fmt.Fprintf(p.w, "\r%-*s", p.wide, line)
	p.wide = max(p.wide, len(line))
}

// done erases the line.
func (p *progress) done() {
	if p.w != nil && p.wide > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.wide, "")
	}
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0 && s.Name() != "null"
}

// size formats a number of bytes.
func size(n float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	i := 0
	for n >= 1000 && i < len(units)-1 {
		n /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	return fmt.Sprintf("%.1f %s", n, units[i])
}

// plural returns n with the singular or plural of a word.
func plural[N int | int64](n N, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if strings.HasSuffix(one, "ch") {
		one += "e"
	}
	return fmt.Sprintf("%d %ss", n, one)
}
