package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluicemq/sluice/internal/chaos/cluster"
)

// clusters are the systems that a command starts in turn, each in a new directory.
type clusters struct {
	sluice, jars, systems, dir string
	nodes                      int
}

func clusterFlags(f *flag.FlagSet) *clusters {
	c := &clusters{}
	f.StringVar(&c.sluice, "sluice", "../bin/sluice", "binary of Sluice")
	f.StringVar(&c.jars, "kafka", "../bin/oracle", "folder with the jars of Apache Kafka")
	f.StringVar(&c.systems, "systems", "kafka,sluice", "systems, with commas")
	f.IntVar(&c.nodes, "nodes", 3, "nodes of a cluster")
	f.StringVar(&c.dir, "dir", os.TempDir(), "directory for the nodes' data")
	return c
}

// each runs a measurement on each system.
func (c *clusters) each(ctx context.Context, measure func(context.Context, *cluster.Cluster) error) error {
	for _, name := range split(c.systems) {
		if err := c.on(ctx, name, measure); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (c *clusters) on(ctx context.Context, name string, measure func(context.Context, *cluster.Cluster) error) error {
	system, err := c.system(name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(c.dir, "slbench-"+name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	running, err := cluster.Start(ctx, system, dir, cluster.OnLoopback(c.nodes))
	if err != nil {
		return err
	}
	err = measure(ctx, running)
	return errors.Join(err, running.Close())
}

func (c *clusters) system(name string) (cluster.System, error) {
	switch name {
	case "kafka":
		k, _, err := cluster.FindKafka(c.jars)
		return k, err
	case "sluice":
		if _, err := os.Stat(c.sluice); err != nil {
			return nil, fmt.Errorf("the binary of Sluice is not there (%w); run make build, or give -sluice", err)
		}
		if c.nodes > 1 {
			return &cluster.SluiceNodes{Binary: c.sluice}, nil
		}
		return cluster.Sluice{Binary: c.sluice}, nil
	}
	return nil, fmt.Errorf("%w: system %q is not known; use kafka or sluice", errUsage, name)
}
