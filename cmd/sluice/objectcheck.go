package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/internal/objectstore"
)

func newObjectCheck(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "check URL | check --config FILE", Short: "Check that a store works for a broker's objects", Args: cobra.MaximumNArgs(1),
		Long: `Does in an object store what a broker does, with the credentials of this environment: writes an
object, tries to overwrite it, which the store must refuse, reads a part of it, lists it, and
deletes it. Existing objects are not touched.`,
		Example: `  sluice object check 's3://orders-sluice?region=eu-central-1'
  sluice object check --config /etc/sluice/broker.toml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			url, err := storeOf(args, file)
			if err != nil {
				return err
			}
			return c.checkStore(cmd.Context(), url)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "`FILE` with the settings of a broker, whose object_storage.url is checked")
	_ = cmd.MarkFlagFilename("config", "toml") // the flag exists
	return cmd
}

// storeOf returns the URL to check.
func storeOf(args []string, file string) (string, error) {
	switch {
	case (file == "") == (len(args) == 0):
		return "", usagef("give either the URL of a store, such as s3://BUCKET, or --config FILE")
	case file == "":
		return args[0], nil
	}
	text, err := readSettings(file)
	if err != nil {
		return "", err
	}
	b, err := config.ParseBroker(file, text)
	if err != nil {
		return "", err
	}
	n, err := nodeConfig(b)
	return n.Storage.ObjectURL, err
}

// checkStore tries every operation that a broker needs of a store.
func (c *cli) checkStore(ctx context.Context, url string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cfg := objectstore.DefaultConfig()
	cfg.Attempts, cfg.LastPause, cfg.MissingAttempts = 3, time.Second, 1
	s, err := objectstore.Open(ctx, url, objectstore.WithConfig(cfg))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	key := "check/" + uuid.NewString()
	if err := c.step(ctx, "write", s.Put(ctx, key, strings.NewReader(key))); err != nil {
		return err
	}
	for _, do := range []struct {
		what string
		try  func() error
	}{
		{"refuse to overwrite an object", func() error {
			if err := s.Put(ctx, key, strings.NewReader("another")); !errors.Is(err, objectstore.ErrExists) {
				return errors.Join(err, errors.New("an object was overwritten: the store does not support conditional writes (If-None-Match), which a broker requires"))
			}
			return nil
		}},
		{"read a range", func() error {
			got, err := s.Object(key).ReadRange(ctx, 6, 8)
			if err == nil && string(got) != key[6:14] {
				return errors.New("the range is not what was written")
			}
			return err
		}},
		{"report a missing object", func() error {
			if _, err := s.Size(ctx, "check/"+uuid.NewString()); !errors.Is(err, objectstore.ErrNotFound) {
				return errors.Join(err, errors.New("a missing object must be reported as such: with S3, the permission to list the bucket (s3:ListBucket) is usually missing"))
			}
			return nil
		}},
		{"list", func() error { return listOne(ctx, s) }},
	} {
		if err := c.step(ctx, do.what, do.try()); err != nil {
			return errors.Join(err, s.Delete(ctx, key))
		}
	}
	if err := c.step(ctx, "delete", s.Delete(ctx, key)); err != nil {
		return err
	}
	return c.result(map[string]any{"store": url, "ok": true}, "%s works for a broker's objects", url)
}

// step prints the result of one step of a check.
func (c *cli) step(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("%s: there was no answer within %s; check the endpoint and the network, or set a longer --timeout (%w)", what, c.timeout, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if !c.json {
		c.say("%s: ok", what)
	}
	return nil
}

// errEnough ends a list early.
var errEnough = errors.New("enough")

// listOne lists the first object.
func listOne(ctx context.Context, s *objectstore.Store) error {
	if err := s.List(ctx, func(string, int64) error { return errEnough }); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}
