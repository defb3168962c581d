package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
)

//go:embed page.html
var pageText string

// section is a workload on the page.
type section struct {
	Name, About string
	Plots       []template.HTML
	Runs        []Run
}

// WriteHTML writes the page.
func (s *Suite) WriteHTML(w io.Writer) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"mb": func(b int64) string { return fmt.Sprintf("%.0f", float64(b)/1e6) },
	}).Parse(pageText)
	if err != nil {
		return err
	}
	var sections []section
	for _, wl := range s.Workloads {
		sec := section{Name: wl.Name, About: wl.About, Plots: s.plots(wl)}
		for _, system := range s.systems(wl.Name) {
			sec.Runs = append(sec.Runs, s.runs(wl.Name, system)...)
		}
		sections = append(sections, sec)
	}
	return page.Execute(w, struct {
		*Suite
		Sections []section
	}{s, sections})
}

// Save writes report.json and report.html to a directory.
func (s *Suite) Save(dir string) error {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "report.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "report.html"))
	if err != nil {
		return err
	}
	if err := s.WriteHTML(f); err != nil {
		_ = f.Close() // the first error says more
		return err
	}
	return f.Close()
}
