package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicemq/sluice/pipeline"
)

// stageLimits are the limits of one stage of a running broker.
type stageLimits struct {
	Stage  string            `json:"stage"` // PIPELINE/STAGE
	Limits map[string]int64  `json:"limits"`
	Bounds map[string]bounds `json:"bounds"` // of the limits that have a setting
}

// bounds is the range of a limit.
type bounds struct {
	Setting string `json:"setting"`
	Least   int64  `json:"least"`
	Most    int64  `json:"most"`
}

// getLimits prints the limits of one stage, or of all.
func (c *cli) getLimits(ctx context.Context, admin, stage string) error {
	all, err := c.limits(ctx, admin)
	if err != nil {
		return err
	}
	if stage != "" {
		all = slices.DeleteFunc(all, func(s stageLimits) bool { return s.Stage != stage })
		if len(all) == 0 {
			return fmt.Errorf("no stage %s; `sluice config get limits` shows all", stage)
		}
	}
	if c.json {
		for _, s := range all {
			if err := c.emit(s); err != nil {
				return err
			}
		}
		return nil
	}
	t := c.table("STAGE", "LIMIT", "VALUE", "LEAST", "MOST", "SETTING")
	for _, s := range all {
		for _, k := range slices.Sorted(maps.Keys(s.Limits)) {
			if b, ok := s.Bounds[k]; ok {
				t.row(s.Stage, k, s.Limits[k], b.Least, b.Most, b.Setting)
				continue
			}
			t.row(s.Stage, k, s.Limits[k], "-", "-", "-")
		}
	}
	return t.flush()
}

// limits queries the limits of all stages of a broker, with their bounds.
func (c *cli) limits(ctx context.Context, admin string) ([]stageLimits, error) {
	var graphs []pipeline.Topology
	if err := c.ask(ctx, http.MethodGet, admin, "/topology", nil, &graphs); err != nil {
		return nil, err
	}
	var live []struct {
		Graph, Stage, Key string
		bounds
	}
	if err := c.ask(ctx, http.MethodGet, admin, "/limits", nil, &live); err != nil {
		return nil, err
	}
	var all []stageLimits
	for _, g := range graphs {
		for _, n := range g.Nodes {
			s := stageLimits{g.Graph + "/" + n.Name, map[string]int64{"workers": int64(n.Workers)}, make(map[string]bounds)}
			for _, l := range live {
				if l.Graph == g.Graph && l.Stage == n.Name {
					s.Bounds[l.Key] = l.bounds
				}
			}
			maps.Copy(s.Limits, n.Tunables)
			for _, e := range g.Edges {
				if e.To == n.Name {
					s.Limits["depth"] = int64(e.Depth)
				}
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// setLimits changes limits of a stage, all of them or none.
func (c *cli) setLimits(ctx context.Context, admin, stage string, set map[string]string) error {
	graph, name, ok := strings.Cut(stage, "/")
	if !ok {
		return usagef("stage %q must be PIPELINE/STAGE, such as write/batch; `sluice config get limits` shows all", stage)
	}
	values := make(map[string]int64, len(set))
	for k, v := range set {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return usagef("%s=%s must be a whole number", k, v)
		}
		values[k] = n
	}
	if err := c.ask(ctx, http.MethodPost, admin, "/limits", map[string]any{"graph": graph, "stage": name, "set": values}, nil); err != nil {
		return err
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if err := c.result(map[string]any{"stage": stage, "key": k, "value": values[k]}, "%s: %s=%d until the broker is restarted", stage, k, values[k]); err != nil {
			return err
		}
	}
	return nil
}

// ask sends a request to an admin server and decodes the response.
func (c *cli) ask(ctx context.Context, method, admin, path string, body, answer any) error {
	return c.send(ctx, method, admin, path, body, func(r io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(r, maxAnswer))
		if err != nil || answer == nil {
			return err
		}
		return json.Unmarshal(text, answer)
	})
}

// maxAnswer limits a response that is read into memory.
const maxAnswer = 64 << 20

// askRows requests a list of any length from an admin server and calls each for every row. A
// response that ends before the list does is an error.
func askRows[T any](ctx context.Context, c *cli, admin, path string, each func(T)) error {
	return c.send(ctx, http.MethodGet, admin, path, nil, func(r io.Reader) error {
		d := json.NewDecoder(r)
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return cmp.Or(err, errors.New("it is not a list"))
		}
		for d.More() {
			var row T
			if err := d.Decode(&row); err != nil {
				return err
			}
			each(row)
		}
		_, err := d.Token()
		return err
	})
}

// send sends a request to an admin server and passes the body of a successful response to take.
func (c *cli) send(ctx context.Context, method, admin, path string, body any, take func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+admin+path, bytes.NewReader(b))
	if err != nil {
		return usagef("--admin %q must be HOST:PORT", admin)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no admin server answers: %w; set --admin to the broker's admin address", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return cmp.Or(err, errors.New(strings.TrimSpace(string(text))))
	}
	if err := take(resp.Body); err != nil {
		return fmt.Errorf("answer of %s is not that of a broker's admin server: %w", admin, err)
	}
	return nil
}
