package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/internal/object"
	"github.com/sluicemq/sluice/internal/objectstore"
)

func newObject(c *cli) *cobra.Command {
	return family("object", "Inspect stored objects, and check object stores", newObjectDump(c), newObjectVerify(c), newObjectCheck(c), newObjectGiveUp(c))
}

// objectUsage describes the arguments of both commands.
const objectUsage = `An OBJECT is a file, a directory with everything below it, or with --store the key of
an object there. Without any it is the object directory of a development broker.`

func newObjectDump(c *cli) *cobra.Command {
	var store string
	var index bool
	cmd := &cobra.Command{
		Use: "dump [OBJECT...]", Short: "Print the contents of objects",
		Long: "Prints the partitions, blocks and batches of objects, and checks them as it reads.\n\n" + objectUsage,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.eachObject(cmd.Context(), store, args, func(ctx context.Context, _ string, src object.RangeReader, n int64) error {
				return object.Describe(ctx, src, n, func(v any) error {
					if index && !inIndex(v) {
						return nil
					}
					return c.dumpObject(v)
				})
			})
		},
	}
	addStore(cmd, &store)
	cmd.Flags().BoolVar(&index, "index", false, "omit blocks and batches")
	return cmd
}

// inIndex reports whether v describes more than a block.
func inIndex(v any) bool {
	switch v.(type) {
	case object.BlockInfo, object.BatchInfo:
		return false
	}
	return true
}

func newObjectVerify(c *cli) *cobra.Command {
	var store, admin string
	var metadata bool
	cmd := &cobra.Command{
		Use: "verify [OBJECT...]", Short: "Verify that objects are intact",
		Long: "Reads whole objects and checks every checksum and the index. The exit code is 1\nif anything is damaged.\n\n" + objectUsage + `

With --metadata it asks a running broker which objects should exist, reads all of them,
and reports which topics, partitions and offsets are missing or damaged, and which objects
are unreferenced. Unreferenced objects are no error: they are being uploaded, or will be
deleted.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if metadata {
				if len(args) > 0 {
					return usagef("--metadata selects the objects; do not name any")
				}
				return c.verifyMetadata(cmd.Context(), admin, store)
			}
			p := c.progress()
			defer p.done()
			checked := 0
			return c.eachObject(cmd.Context(), store, args, func(ctx context.Context, name string, src object.RangeReader, n int64) error {
				if err := object.Verify(ctx, src, n); err != nil {
					return err
				}
				checked++
				p.show("%s verified", plural(checked, "object"))
				return c.result(map[string]any{"object": name, "bytes": n, "ok": true}, "%s: right, %s", name, size(float64(n)))
			})
		},
	}
	addStore(cmd, &store)
	cmd.Flags().BoolVar(&metadata, "metadata", false, "verify all objects that the metadata of a running broker refers to")
	cmd.Flags().StringVar(&admin, "admin", "127.0.0.1:9642", "`HOST:PORT` of the broker's admin server, with --metadata")
	return cmd
}

func addStore(cmd *cobra.Command, store *string) {
	cmd.Flags().StringVar(store, "store", "", "`URL` of the object store that has the keys, such as s3://BUCKET")
}

type visitObject func(ctx context.Context, name string, src object.RangeReader, size int64) error

// eachObject visits all objects given by the arguments, and continues after damaged ones.
func (c *cli) eachObject(ctx context.Context, store string, args []string, visit visitObject) error {
	if store != "" {
		if len(args) == 0 {
			return usagef("--store needs the keys of the objects")
		}
		return eachKey(ctx, store, args, visit)
	}
	if len(args) == 0 {
		dir, err := c.inDataDirectory("objects")
		if err != nil {
			return err
		}
		args = []string{dir}
	}
	var errs []error
	for _, path := range args {
		errs = append(errs, eachFile(ctx, path, visit))
	}
	return errors.Join(errs...)
}

func eachKey(ctx context.Context, url string, keys []string, visit visitObject) error {
	s, err := objectstore.Open(ctx, url)
	if err != nil {
		return err
	}
	var errs []error
	for _, key := range keys {
		n, err := s.Size(ctx, key)
		if err == nil {
			err = visit(ctx, key, s.Object(key), n)
		}
		errs = append(errs, of(key, err))
	}
	return errors.Join(append(errs, s.Close())...)
}

func of(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("object %s: %w", name, err)
}

// eachFile visits a file, or all files below a directory.
func eachFile(ctx context.Context, path string, visit visitObject) error {
	var errs []error
	found := false
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "owner" {
			return fs.SkipDir // owner marks of the store
		}
		if err != nil || d.IsDir() {
			return err
		}
		found = true
		errs = append(errs, of(name, visitFile(ctx, name, visit)))
		return ctx.Err()
	})
	if err == nil && !found { // nothing was checked, so nothing can be called intact
		err = fmt.Errorf("there is no object below %s; nothing was uploaded yet, or it is the wrong directory", path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no object %s; name a file or directory, or a key with --store", path)
	}
	return errors.Join(append(errs, err)...)
}

func visitFile(ctx context.Context, name string, visit visitObject) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return visit(ctx, name, fileRanges{f}, info.Size())
}

// fileRanges reads a local file as an object.
type fileRanges struct{ r io.ReaderAt }

// ReadRange implements object.RangeReader.
func (f fileRanges) ReadRange(_ context.Context, off, n int64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := f.r.ReadAt(b, off); err != nil {
		return nil, fmt.Errorf("read [%d, +%d): %w", off, n, err)
	}
	return b, nil
}

func (c *cli) dumpObject(v any) (err error) {
	if c.json {
		return c.emit(v)
	}
	switch v := v.(type) {
	case object.Info:
		_, err = fmt.Fprintf(c.stdout, "object %s: %d bytes, %s, %s%s\n", v.ID, v.Bytes, plural(v.Partitions, "partition"), plural(v.Blocks, "block"), damage(v.Error))
	case object.RangeInfo:
		_, err = fmt.Fprintf(c.stdout, "  %s/%d offsets %d to %d: %d bytes in %s\n", v.Topic, v.Partition, v.Base, v.End-1, v.Bytes, plural(v.Blocks, "block"))
	case object.SectionInfo:
		_, err = fmt.Fprintf(c.stdout, "  %s/%d up to offset %d: %s in %d bytes at %d%s\n", v.Topic, v.Partition, v.End-1, plural(v.Producers, "producer"), v.Bytes, v.At, damage(v.Error))
	case object.BlockInfo:
		_, err = fmt.Fprintf(c.stdout, "    block at %d: offsets %d to %d, %d bytes%s\n", v.At, v.Base, v.End-1, v.Bytes, damage(v.Error))
	case object.BatchInfo:
		_, err = fmt.Fprintf(c.stdout, "      batch at %d: offsets %d to %d, %s, %d bytes, %s%s\n", v.At, v.BaseOffset, v.LastOffset, plural(int64(v.Count), "record"), v.Info.Bytes, v.Codec, damage(v.Error))
	}
	return err
}
