package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/cmd/sluice/node"
	"github.com/sluicemq/sluice/config"
)

func newBroker(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "broker --config FILE",
		Short: "Run a broker with a settings file",
		Long: `Runs a broker. In this version a broker holds its own metadata, the only replica of
each Raft shard, so a cluster is a single broker. "sluice config print broker"
describes every setting and its default.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readSettings(file)
			if err != nil {
				return err
			}
			cfg, err := config.ParseBroker(file, text)
			if err != nil {
				return err
			}
			return c.runBroker(cmd.Context(), file, cfg, func(a node.Addresses) error {
				return c.result(map[string]any{"quic": a.QUIC, "tcp": a.TCP, "tcp_tls": a.TLS, "admin": a.Admin},
					"broker %d serves: QUIC %s, TCP %s, admin %s", cfg.Broker.ID, or(a.QUIC, "closed"), or(a.TCP, "closed"), or(a.Admin, "closed"))
			})
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "`FILE` with the settings, in TOML")
	_ = cmd.MarkFlagRequired("config") // the flag exists
	_ = cmd.MarkFlagFilename("config", "toml")
	c.mayAcceptLost(cmd)
	c.mayAcceptLostWAL(cmd)
	c.mayAcceptOtherStore(cmd)
	return cmd
}

func newController(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "controller --config FILE",
		Short: "Run only the metadata shards, with a settings file",
		Long: `Runs one replica of every metadata shard, with health checks and metrics over HTTP, but
no broker. In this version brokers hold their own metadata and cannot use a controller
yet. Use it to inspect the metadata of a stopped broker, by setting metadata.directory
to that of the broker.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readSettings(file)
			if err != nil {
				return err
			}
			cfg, err := config.ParseController(file, text)
			if err != nil {
				return err
			}
			return c.runController(cmd.Context(), file, cfg)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "`FILE` with the settings, in TOML")
	_ = cmd.MarkFlagRequired("config") // the flag exists
	_ = cmd.MarkFlagFilename("config", "toml")
	c.mayAcceptLost(cmd)
	return cmd
}

// readSettings reads a settings file.
func readSettings(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("settings: %w; `sluice config print broker > %s` creates one with all defaults", err, file)
	}
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return text, nil
}

// or returns s, or other if s is empty.
func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (c *cli) runController(ctx context.Context, file string, cfg config.Controller) (err error) {
	reloads := newReloads(file)
	defer reloads.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log, err := c.logger(cfg.Log)
	if err != nil {
		return err
	}
	release, err := takeDirectory(cfg.Controller.DataDirectory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	return serveController(ctx, cfg, c.acceptLost, log, func(admin string, reg prometheus.Registerer) error {
		reloads.begin(ctx, &controllerReload{reloadLog: newReloadLog(log, &c.level, reg), file: file, now: settingsOf(cfg)})
		return c.result(map[string]any{"admin": admin}, "controller %d serves: admin %s", cfg.Controller.ID, or(admin, "closed"))
	})
}
