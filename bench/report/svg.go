package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// colors maps Systems to colors.
var colors = map[string]string{"sluice-tcp": "#0b6e99", "sluice-tls": "#5b8fa8", "sluice-quic": "#12a37f", "kafka-tcp": "#7b4ea3", "kafka-tls": "#a98bc4",
	"jetstream": "#d9730d", "jetstream-sync": "#a35709", "echo-ack": "#8a8a8a", "echo-full": "#bcbcbc"}

// The layout of a plot, in pixels.
const (
	plotWidth, plotHeight          = 640, 260
	left, right, top, bottomMargin = 70, 150, 30, 45
)

// svg is a picture being drawn.
type svg struct{ strings.Builder }

func (s *svg) add(format string, args ...any) { fmt.Fprintf(&s.Builder, format, args...) }

func (s *svg) text(x, y float64, anchor, text string) {
	s.add(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, x, y, anchor, html.EscapeString(text))
}

// axis maps values to pixels.
type axis struct {
	from, to float64 // pixels
	min, max float64
	log      bool
}

func (a axis) at(v float64) float64 {
	lo, hi := a.min, a.max
	if a.log {
		lo, hi, v = math.Log10(lo), math.Log10(hi), math.Log10(max(v, a.min))
	}
	if hi == lo {
		return a.from
	}
	return a.from + (v-lo)/(hi-lo)*(a.to-a.from)
}

// ticks returns round values along the axis.
func (a axis) ticks() []float64 {
	if a.log {
		var out []float64
		for e := math.Ceil(math.Log10(a.min) - 1e-9); e <= math.Floor(math.Log10(a.max)+1e-9); e++ {
			out = append(out, math.Pow(10, e))
		}
		return out
	}
	step := niceStep((a.max - a.min) / 5)
	var out []float64
	for v := math.Ceil(a.min/step) * step; v <= a.max*(1+1e-9); v += step {
		out = append(out, v)
	}
	return out
}

// niceStep returns the next of 1, 2, 5 times a power of ten.
func niceStep(v float64) float64 {
	if v <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*p >= v*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// logAxis covers values with whole decades.
func logAxis(from, to, lo, hi float64) axis {
	lo = math.Pow(10, math.Floor(math.Log10(max(lo, 1e-3))))
	hi = math.Pow(10, math.Ceil(math.Log10(max(hi, lo*10))))
	return axis{from: from, to: to, min: lo, max: hi, log: true}
}

// number prints a value for people.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// begin opens a plot with a title and a y axis.
func (s *svg) begin(title, unit string, y axis) {
	s.add(`<svg viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`, plotWidth, plotHeight, plotWidth, plotHeight, html.EscapeString(title))
	s.add(`<text x="%d" y="16" class="title">%s</text>`, left, html.EscapeString(title+", "+unit))
	for _, v := range y.ticks() {
		s.add(`<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="grid"/>`, left, plotWidth-right, y.at(v), y.at(v))
		s.text(left-6, y.at(v)+4, "end", number(v))
	}
}

func (s *svg) legend(i int, system string) {
	y := float64(top + 14*i)
	s.add(`<rect x="%d" y="%.1f" width="10" height="10" fill="%s"/>`, plotWidth-right+12, y, colors[system])
	s.text(plotWidth-right+28, y+9, "start", system)
}

// bars draws the median of each system, with a line from minimum to maximum.
func bars(title, unit string, systems []string, values []Spread) string {
	most := 0.0
	for _, v := range values {
		most = max(most, v.Max)
	}
	y := axis{from: plotHeight - bottomMargin, to: top, max: max(most*1.05, 1e-9)}
	var s svg
	s.begin(title, unit, y)
	slot := float64(plotWidth-left-right) / float64(len(systems))
	for i, system := range systems {
		v, x := values[i], float64(left)+slot*(float64(i)+0.5)
		s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x-slot*0.3, y.at(v.Median), slot*0.6, y.from-y.at(v.Median), colors[system])
		s.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="whisker"/>`, x, x, y.at(v.Min), y.at(v.Max))
		s.text(x, y.from+16, "middle", number(v.Median))
		s.legend(i, system)
	}
	s.add(`</svg>`)
	return s.String()
}

// curveOf is one line of a plot.
type curveOf struct {
	system string
	x, y   []float64
}

// lines draws curves over an x axis with these ticks; tickAt maps them to 0..1.
func lines(title, unit string, y axis, ticks []string, tickAt []float64, curves []curveOf) string {
	var s svg
	s.begin(title, unit, y)
	width := float64(plotWidth - left - right)
	for i, label := range ticks {
		x := float64(left) + tickAt[i]*width
		s.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="grid"/>`, x, x, y.from, y.to)
		s.text(x, y.from+16, "middle", label)
	}
	for i, c := range curves {
		s.add(`<polyline fill="none" stroke="%s" stroke-width="1.8" points="`, colors[c.system])
		for j := range c.x {
			s.add("%.1f,%.1f ", float64(left)+c.x[j]*width, y.at(c.y[j]))
		}
		s.add(`"/>`)
		s.legend(i, c.system)
	}
	s.add(`</svg>`)
	return s.String()
}
