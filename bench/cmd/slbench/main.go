// Command slbench measures Sluice and its peers on the same work.
//
//	slbench suite -sluice BINARY [-out DIR] [-only NAME,...] [-rounds N] [-short]
//	slbench run -workload NAME|FILE -driver kafka|jetstream -addr HOST:PORT [-transport quic|tls|tcp]
//	slbench list
//	slbench cluster -systems kafka,sluice [-rounds N] [-nodes N]
//	slbench failover -systems kafka,sluice [-fault kill|stop] [-times N] [-nodes N]
//
// See the README of the bench directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: slbench COMMAND [flags]

  suite     start Sluice and its peers in turn, run the shipped workloads, write a report
  run       run one workload against a server that is up
  list      list the shipped workloads
  cluster   measure replicated writes on clusters of three nodes
  failover  let the nodes of clusters fail under load, measure the time without writes, read everything back

slbench COMMAND -h lists the flags of a command.
`

// errUsage makes the program exit with 2.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "slbench:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string, out io.Writer) error {
	commands := map[string]func(context.Context, []string, io.Writer) error{
		"suite": suiteCommand, "run": runCommand, "list": listCommand, "failover": failoverCommand, "cluster": clusterCommand, "echo-server": echoServer,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("%w\n%s", errUsage, usage)
	}
	return commands[args[0]](ctx, args[1:], out)
}

// parse parses flags; other arguments are an error.
func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%w: %q is not a flag", errUsage, f.Arg(0))
	}
	return nil
}
