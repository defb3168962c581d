package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// cli is shared by all commands: input, output and the global flags.
type cli struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	began          bool // the command line was valid

	level slog.LevelVar // the log level of a node; can be changed at run time

	broker    string
	transport string
	ca        string
	cert, key string
	dataDir   string
	json      bool

	acceptLost       bool // for commands that hold metadata
	acceptLostWAL    bool // for commands that have a WAL
	acceptOtherStore bool // for commands that have an object store
	timeout          time.Duration
}

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "A cloud-native message queue: Kafka's protocol over QUIC and TCP, durable in object storage",
		Long: `Sluice is a message queue that speaks Kafka's protocol over QUIC and TCP. A broker
keeps a bounded write-ahead log and caches; the durable copy of every record is in
object storage.

Start a node without any settings, then use it from another terminal:

  sluice dev
  sluice topic create orders --partitions 4
  echo "1 apple" | sluice produce orders
  sluice consume orders`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetIn(c.stdin)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	f := root.PersistentFlags()
	f.StringVar(&c.broker, "broker", "127.0.0.1:9092", "brokers to connect to, `HOST:PORT`, separated by commas")
	f.StringVar(&c.transport, "transport", "quic", "quic, tcp (plaintext), or tls")
	f.StringVar(&c.ca, "ca", "", "`FILE` with the authorities of broker certificates; by default tls/ca.crt of the data directory")
	f.StringVar(&c.cert, "cert", "", "`FILE` with the client's certificate, if brokers ask for one")
	f.StringVar(&c.key, "key", "", "`FILE` with the key of --cert")
	f.StringVar(&c.dataDir, "data-dir", "", "data `DIR` of a development broker (default $SLUICE_DATA_DIR, else sluice in $XDG_DATA_HOME or ~/.local/share)")
	f.BoolVar(&c.json, "json", false, "print one JSON document per line")
	f.DurationVar(&c.timeout, "timeout", 15*time.Second, "how long to wait for an answer")
	root.AddCommand(newDev(c), newBroker(c), newController(c), newTopic(c), newProduce(c), newConsume(c), newGroup(c),
		newCluster(c), newConfig(c), newCert(c), newWAL(c), newObject(c), newVersion(c))
	_ = root.RegisterFlagCompletionFunc("transport", cobra.FixedCompletions([]string{"quic", "tcp", "tls"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	root.Long += "\n\nEach command says what it does when help is its only argument; a topic, group or\nfile of that name is written behind --, as in sluice consume -- help."
	helpfully(root)
	c.noteBeginning(root)
	return root
}

// helpfully makes all commands below cmd treat a single argument help as a request for help.
func helpfully(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		helpfully(child)
		do, check := child.RunE, child.Args
		if do == nil {
			continue
		}
		child.Args = func(cmd *cobra.Command, args []string) error {
			if wantsHelp(cmd, args) {
				cmd.Flags().VisitAll(func(f *pflag.Flag) { delete(f.Annotations, cobra.BashCompOneRequiredFlag) })
				return nil
			}
			if check == nil {
				return nil
			}
			return check(cmd, args)
		}
		child.RunE = func(cmd *cobra.Command, args []string) error {
			if wantsHelp(cmd, args) {
				return cmd.Help()
			}
			return do(cmd, args)
		}
	}
}

func wantsHelp(cmd *cobra.Command, args []string) bool {
	return len(args) == 1 && args[0] == "help" && cmd.ArgsLenAtDash() < 0
}

// hideDefaults keeps defaults that only stand for "not given" out of the help.
func hideDefaults(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		cmd.Flags().Lookup(name).DefValue = "0" // which help does not show
	}
}

// argument returns a name as the only argument of a command, for messages that suggest commands: it
// puts -- before help and anything that looks like a flag.
func argument(name string) string {
	if name == "help" || strings.HasPrefix(name, "-") {
		return "-- " + name
	}
	return name
}

// noteBeginning makes all commands below cmd record that their command line was valid before
// they run.
func (c *cli) noteBeginning(cmd *cobra.Command) {
	if do := cmd.RunE; do != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.began = true
			return do(cmd, args)
		}
	}
	for _, child := range cmd.Commands() {
		c.noteBeginning(child)
	}
}

// dataDirectory returns the data directory of a development broker.
func (c *cli) dataDirectory() (string, error) {
	if c.dataDir != "" {
		return c.dataDir, nil
	}
	if dir := c.getenv("SLUICE_DATA_DIR"); dir != "" {
		return dir, nil
	}
	if dir := c.getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "sluice"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usagef("there is no home directory for data; give --data-dir or set SLUICE_DATA_DIR")
	}
	return filepath.Join(home, ".local", "share", "sluice"), nil
}

// inDataDirectory returns a path in the data directory.
func (c *cli) inDataDirectory(elem ...string) (string, error) {
	dir, err := c.dataDirectory()
	if err != nil {
		return "", err
	}
	return filepath.Join(append([]string{dir}, elem...)...), nil
}
