package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/cmd/sluice/node"
	"github.com/sluicemq/sluice/internal/fault"
	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
)

// objectPart is a reference from the metadata to a part of an object: records of one partition,
// or a snapshot of its idempotent producers.
type objectPart struct {
	Object    string `json:"object"`
	Key       string `json:"key"`
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int32  `json:"partition"`
	Producers bool   `json:"producers,omitempty"`
	At        int64  `json:"at,omitempty"` // of the snapshot, bytes from the start of the object
	Base      int64  `json:"base_offset"`
	End       int64  `json:"end_offset"`
}

// same reports whether both are the same part of one object, at different times.
func (p objectPart) same(o objectPart) bool {
	return p.TopicID == o.TopicID && p.Partition == o.Partition && p.Producers == o.Producers && p.At == o.At
}

// String describes the part.
func (p objectPart) String() string {
	if p.Producers {
		return fmt.Sprintf("producers of %s/%d", p.Topic, p.Partition)
	}
	return fmt.Sprintf("%s/%d offsets %d to %d", p.Topic, p.Partition, p.Base, p.End-1)
}

// objectFinding is a line of verify --metadata.
type objectFinding struct {
	objectPart
	State string `json:"state"` // missing or damaged
	Error string `json:"error,omitempty"`
}

// verifyMetadata reads all objects that the metadata of a running broker refers to.
func (c *cli) verifyMetadata(ctx context.Context, admin, store string) error {
	s, err := c.openStore(ctx, store)
	if err != nil {
		return err
	}
	if err = c.sameCluster(ctx, s, admin); err == nil {
		err = c.compare(ctx, s, admin)
	}
	return errors.Join(err, s.Close())
}

// sameCluster refuses a store that the broker does not use: every object would be missing there,
// and the operator might give them up. If the store has no ownership mark, it only warns.
func (c *cli) sameCluster(ctx context.Context, s *objectstore.Store, admin string) error {
	var broker struct {
		Cluster string `json:"cluster_id"`
	}
	if err := c.ask(ctx, http.MethodGet, admin, "/damage", nil, &broker); err != nil {
		return err
	}
	owner, err := node.StoreCluster(ctx, s)
	switch {
	case err != nil:
		return fmt.Errorf("cannot determine the owner of the store: %w", err)
	case owner == "":
		fmt.Fprintln(c.stderr, "sluice: the store has no ownership mark; if it is not the broker's object_storage.url, give that with --store")
	case owner != broker.Cluster:
		return fmt.Errorf("the store belongs to the cluster %s, but the broker at %s to %s; give its object_storage.url with --store", owner, admin, broker.Cluster)
	}
	return nil
}

// openStore opens a store for reading, by default that of a development broker.
func (c *cli) openStore(ctx context.Context, store string) (*objectstore.Store, error) {
	if store == "" {
		dir, err := c.inDataDirectory("objects")
		if err != nil {
			return nil, err
		}
		if dir, err = filepath.Abs(dir); err != nil {
			return nil, err
		}
		store = (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
	}
	if u, err := url.Parse(store); err == nil && u.Scheme == "file" {
		if _, err := os.Stat(filepath.FromSlash(u.Path)); err != nil { // opening would create it
			return nil, fmt.Errorf("there is no object store: %w; name one with --store", err)
		}
	}
	return objectstore.Open(ctx, store)
}

func (c *cli) compare(ctx context.Context, s *objectstore.Store, admin string) error {
	named, err := c.objectParts(ctx, admin)
	if err != nil {
		return err
	}
	p := c.progress()
	found := map[string][]objectFinding{}
	checked := 0
	for key, parts := range named {
		bad, err := check(ctx, s, key, parts)
		if err != nil {
			p.done()
			return fmt.Errorf("object %s: cannot verify it: %w", key, err)
		}
		if len(bad) > 0 {
			found[key] = bad
		}
		checked++
		p.show("%d of %s verified", checked, plural(len(named), "object"))
	}
	p.done()
	return c.tellFindings(ctx, s, admin, found, named)
}

// objectParts queries the parts that a broker's metadata refers to, by key.
func (c *cli) objectParts(ctx context.Context, admin string) (map[string][]objectPart, error) {
	named := map[string][]objectPart{}
	err := askRows(ctx, c, admin, "/objects", func(part objectPart) { named[part.Key] = append(named[part.Key], part) })
	if err != nil {
		return nil, err
	}
	return named, nil
}

// check reads one object and returns which of its parts are missing or damaged.
func check(ctx context.Context, s *objectstore.Store, key string, parts []objectPart) ([]objectFinding, error) {
	all := func(state string, err error) (out []objectFinding) {
		for _, part := range parts {
			out = append(out, objectFinding{part, state, err.Error()})
		}
		return out
	}
	size, err := s.Size(ctx, key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return all("missing", err), nil
	}
	if err != nil {
		return nil, err
	}
	src := s.Object(key)
	if footer, err := object.ReadFooter(ctx, src, size); err != nil {
		if !isDamage(err) {
			return nil, err
		}
		return all("damaged", err), nil
	} else if object.Key(footer.ID) != key {
		return all("damaged", fmt.Errorf("object %s is under its key", footer.ID)), nil
	}
	v := visitor{parts: parts, at: -1, covered: make([]bool, len(parts))}
	if err := object.Describe(ctx, src, size, v.visit); err != nil && !isDamage(err) {
		return nil, err
	}
	for i, part := range parts {
		if !v.covered[i] {
			v.bad = append(v.bad, objectFinding{part, "missing", "it is not in the object's index"})
		}
	}
	return v.bad, nil
}

// isDamage reports whether err is about the object, not about the store.
func isDamage(err error) bool {
	return fault.ClassOf(err) == fault.ClassLost && !errors.Is(err, objectstore.ErrNotFound) || errors.Is(err, syscall.EIO)
}

// visitor reads an object and records which parts are damaged, and where.
type visitor struct {
	parts   []objectPart
	covered []bool
	at      int // index in parts; -1 for unreferenced data
	bad     []objectFinding
}

func (v *visitor) visit(x any) error {
	switch x := x.(type) {
	case object.RangeInfo:
		v.at = slices.IndexFunc(v.parts, func(p objectPart) bool { return !p.Producers && p.TopicID == x.Topic && p.Partition == x.Partition })
		if v.at >= 0 {
			v.covered[v.at] = x.End >= v.parts[v.at].End
		}
	case object.SectionInfo:
		at := slices.IndexFunc(v.parts, func(p objectPart) bool {
			return p.Producers && p.TopicID == x.Topic && p.Partition == x.Partition && p.At == x.At
		})
		if at < 0 {
			return nil
		}
		v.covered[at] = true
		if x.Error != "" {
			v.bad = append(v.bad, objectFinding{v.parts[at], "damaged", x.Error})
		}
	case object.BlockInfo:
		if v.at < 0 || x.Error == "" || x.End <= v.parts[v.at].Base {
			return nil
		}
		part := v.parts[v.at]
		part.Base, part.End = max(part.Base, x.Base), min(part.End, x.End)
		if n := len(v.bad); n > 0 && v.bad[n-1].Topic == part.Topic && v.bad[n-1].Partition == part.Partition && v.bad[n-1].End == part.Base {
			v.bad[n-1].End = part.End
			return nil
		}
		v.bad = append(v.bad, objectFinding{part, "damaged", x.Error})
	}
	return nil
}

// tellFindings prints the findings that are still referenced, and unreferenced objects.
func (c *cli) tellFindings(ctx context.Context, s *objectstore.Store, admin string, found map[string][]objectFinding, before map[string][]objectPart) error {
	now, err := c.objectParts(ctx, admin) // compaction and retention run meanwhile
	if err != nil {
		return err
	}
	count := map[string]int{}
	for _, key := range sortedKeys(found) {
		for _, f := range found[key] {
			if !slices.ContainsFunc(now[key], f.same) {
				continue
			}
			count[f.State]++
			if err := c.result(f, "%s: %s in object %s: %s", f.State, f.objectPart, f.Object, f.Error); err != nil {
				return err
			}
		}
	}
	unnamed := 0
	err = s.List(ctx, func(key string, size int64) error {
		if strings.HasPrefix(key, "owner/") || before[key] != nil || now[key] != nil {
			return nil
		}
		unnamed++
		return c.result(map[string]any{"state": "unreferenced", "key": key, "bytes": size}, "unreferenced: %s, %d bytes", key, size)
	})
	if err != nil {
		return fmt.Errorf("cannot list unreferenced objects: %w", err)
	}
	if count["missing"]+count["damaged"] > 0 {
		return fmt.Errorf("%s missing, %s damaged; restore the objects under their keys, or see `sluice object give-up`",
			plural(count["missing"], "range"), plural(count["damaged"], "range"))
	}
	return c.result(map[string]any{"state": "right", "objects": len(before), "unreferenced": unnamed},
		"%s", intact(len(before), unnamed))
}

// intact formats the message that all objects are intact.
func intact(referenced, unreferenced int) string {
	is := func(n int) string {
		if n == 1 {
			return "is"
		}
		return "are"
	}
	said := fmt.Sprintf("%s in the metadata %s intact", plural(referenced, "object"), is(referenced))
	switch unreferenced {
	case 0:
		return said
	case 1:
		return said + "; 1 other is unreferenced: it is being uploaded, or will be deleted"
	}
	return fmt.Sprintf("%s; %s are unreferenced: they are being uploaded, or will be deleted", said, plural(unreferenced, "other"))
}

func sortedKeys(m map[string][]objectFinding) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// giveUpTimeout limits the broker's work: it reads and writes objects.
const giveUpTimeout = 30 * time.Minute

// newObjectGiveUp returns the command that lets consumers skip lost records.
func newObjectGiveUp(c *cli) *cobra.Command {
	var admin string
	var partition int32
	from, to := int64(-1), int64(-1)
	cmd := &cobra.Command{
		Use: "give-up TOPIC --partition N --from OFFSET --to OFFSET", Short: "Let consumers skip lost records", Args: cobra.ExactArgs(1),
		Long: `Lets the consumers of a partition continue after records whose object is missing or
damaged and cannot be restored. The object is replaced by one with the records that can
still be read. No readable record is given up. Unreadable records outside of --from
to --to, both inclusive, are an error. The broker that leads the partition must be
running, and the object store must be reachable.

This cannot be undone. First try to restore the object under its key.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if from < 0 || to < from || partition < 0 {
				return usagef("--partition, --from and --to must be given, the last offset not before the first")
			}
			type gap struct {
				Base int64 `json:"base_offset"`
				End  int64 `json:"end_offset"`
			}
			var gaps []gap
			body := map[string]any{"topic": args[0], "partition": partition, "base_offset": from, "end_offset": to + 1}
			c.timeout = max(c.timeout, giveUpTimeout)
			if err := c.ask(cmd.Context(), http.MethodPost, admin, "/objects/give-up", body, &gaps); err != nil {
				return err
			}
			for _, g := range gaps {
				if err := c.result(g, "%s/%d: gave up offsets %d to %d", args[0], partition, g.Base, g.End-1); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&admin, "admin", "127.0.0.1:9642", "`HOST:PORT` of the broker's admin server")
	f.Int32Var(&partition, "partition", -1, "`N` of the partition")
	f.Int64Var(&from, "from", -1, "the first `OFFSET` to give up")
	f.Int64Var(&to, "to", -1, "the last `OFFSET` to give up")
	hideDefaults(cmd, "partition", "from", "to")
	return cmd
}
