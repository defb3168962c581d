package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/cmd/sluice/node"
	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/ingress/listener"
	"github.com/sluicemq/sluice/internal/blockfs"
)

func newDev(c *cli) *cobra.Command {
	cfg := devConfig()
	listen := cfg.Network.QUICListen
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a node without any settings, for this machine only",
		Long: `Runs a broker with its metadata and object store in one process. All its data is in
the data directory, including the certificate for QUIC, which it generates at the first
start. Other sluice commands find the broker through that directory and need no flags.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := c.dataDirectory()
			if err != nil {
				return err
			}
			cfg.Broker.DataDirectory = dir
			cfg.Network.QUICListen, cfg.Network.TCPListen = listen, listen
			cfg.Admin.Debug = listener.IsLoopback(cfg.Admin.Listen)
			if err := cfg.Validate(); err != nil {
				return &usageError{err}
			}
			return c.runBroker(cmd.Context(), "", cfg, func(a node.Addresses) error { return c.welcome(a, dir, listen) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", listen, "`HOST:PORT` for clients, QUIC and TCP")
	f.StringVar(&cfg.Admin.Listen, "admin", cfg.Admin.Listen, "`HOST:PORT` for metrics, health and topology")
	f.BoolVar(&cfg.Topics.AutoCreateTopics, "auto-create-topics", cfg.Topics.AutoCreateTopics, "create topics that a client asks for")
	f.Int32Var(&cfg.Topics.Partitions, "partitions", cfg.Topics.Partitions, "partitions of topics created without a number")
	f.StringVar(&cfg.Log.Level, "log-level", cfg.Log.Level, "debug, info, warn or error")
	c.mayAcceptLost(cmd)
	c.mayAcceptLostWAL(cmd)
	c.mayAcceptOtherStore(cmd)
	return cmd
}

// devConfig returns the settings of a development node.
func devConfig() config.Broker {
	c := config.DefaultBroker()
	c.Topics.AutoCreateTopics = true
	c.Groups.InitialRebalanceDelay = 0
	c.Log.Level = "warn"
	return c
}

// welcome prints where the node listens and what to try.
func (c *cli) welcome(a node.Addresses, dir, listen string) error {
	if c.json {
		return c.emit(map[string]any{"quic": a.QUIC, "tcp": a.TCP, "tcp_tls": a.TLS, "admin": a.Admin, "data_directory": dir})
	}
	plain := "plaintext"
	if a.TLS {
		plain = "TLS"
	}
	var extra string
	if standard := config.DefaultBroker(); listen != standard.Network.QUICListen {
		extra = " --broker " + a.QUIC
	}
	if usual, err := (&cli{getenv: c.getenv}).dataDirectory(); err != nil || usual != dir {
		extra += " --data-dir " + dir
	}
	_, err := fmt.Fprintf(c.stdout, `Sluice is up, with its data in %s.
  QUIC   %s
  TCP    %s (%s)
  admin  http://%s/metrics, /topology, /readyz

Try, from another terminal:
  sluice topic create orders --partitions 4%s
  echo "1 apple" | sluice produce orders%s
  sluice consume orders%s
`, dir, a.QUIC, a.TCP, plain, a.Admin, extra, extra, extra)
	return err
}

// runBroker runs a broker until it is asked to stop. SIGHUP reloads the settings from file; if
// that is empty, SIGHUP ends the process as usual.
func (c *cli) runBroker(ctx context.Context, file string, cfg config.Broker, serving func(node.Addresses) error) (err error) {
	reloads := newReloads(file)
	defer reloads.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log, err := c.logger(cfg.Log)
	if err != nil {
		return err
	}
	n, err := nodeConfig(cfg)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	n.LogLevel = &c.level
	n.Storage.AcceptLostMetadata = c.acceptLost
	n.Cluster.AcceptLost, n.Storage.AcceptLostWAL, n.Storage.AcceptOtherStore = c.acceptLost, c.acceptLostWAL, c.acceptOtherStore
	release, err := takeDirectory(cfg.Broker.DataDirectory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := certificates(cfg, &n.Listeners); err != nil {
		return err
	}
	ready := func(live node.Live) {
		reloads.begin(ctx, &brokerReload{reloadLog: newReloadLog(log, &c.level, live.Registry()), file: file, live: live, now: settingsOf(cfg)})
		if err := serving(live.Addresses()); err != nil {
			log.Warn("standard output cannot be written", "err", err)
		}
	}
	return node.Run(ctx, n, log, ready)
}

// takeDirectory creates a data directory with private permissions, and locks it for this
// process until release is called.
func takeDirectory(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w; make it writable or choose another", err)
	}
	if release, err = blockfs.Lock(dir); err != nil {
		return nil, fmt.Errorf("data directory %w", err)
	}
	return release, nil
}

// logger returns a logger to standard error.
func (c *cli) logger(l config.Log) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return nil, usagef("log level %q must be one of debug, info, warn, error", l.Level)
	}
	c.level.Set(level)
	o := &slog.HandlerOptions{Level: &c.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(oneLine(err))
		}
		return a
	}}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(c.stderr, o)), nil
	}
	return slog.New(slog.NewTextHandler(c.stderr, o)), nil
}
