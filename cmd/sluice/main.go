// Command sluice is the broker and all tools for it: `sluice dev` runs a node without any
// settings, `sluice help` lists the rest.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "unknown"

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	code := run(ctx, &cli{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}, os.Args[1:])
	stop()
	os.Exit(code)
}

// run runs one command and returns the exit code.
func run(ctx context.Context, c *cli, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var usage *usageError
	switch isUsage := errors.As(err, &usage); {
	case !isUsage && c.began:
		fmt.Fprintf(c.stderr, "sluice: %s\n", oneLine(err))
		return exitFailed
	case !isUsage: // it is cobra's, which names neither the command nor its arguments
		err = fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
	}
	fmt.Fprintf(c.stderr, "sluice: %s\n", oneLine(err))
	return exitUsage
}

// oneLine formats err on one line, each joined error once.
func oneLine(err error) string {
	var parts []string
	seen := make(map[string]bool)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !seen[line] {
			seen[line] = true
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}

// usageError is the error of a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// family returns a command that only has subcommands.
func family(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		if len(args) == 0 {
			return usagef("%s needs one of %s", cmd.CommandPath(), strings.Join(names, ", "))
		}
		return usagef("%s has no command %q; there are %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
	}}
	cmd.AddCommand(children...)
	return cmd
}

// mayAcceptLost adds the flag that accepts lost metadata.
func (c *cli) mayAcceptLost(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.acceptLost, "accept-lost-metadata", false,
		"start although metadata logs are damaged or incomplete, and permanently give up what is lost; only for one start")
}

// mayAcceptOtherStore adds the flag that accepts another object store.
func (c *cli) mayAcceptOtherStore(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.acceptOtherStore, "accept-other-store", false,
		"start although the object store belongs to another cluster or has changed, and take it over; only for one start")
}

// mayAcceptLostWAL adds the flag that accepts a lost WAL.
func (c *cli) mayAcceptLostWAL(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&c.acceptLostWAL, "accept-lost-wal", false,
		"start although the WAL is missing, belongs to another broker or is incomplete, and permanently give up what is lost; only for one start")
}
