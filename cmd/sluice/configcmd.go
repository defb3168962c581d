package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluicemq/sluice/config"
)

func newConfig(c *cli) *cobra.Command {
	return family("config", "Check and print settings; get and set those of topics and running stages",
		newConfigCheck(c), newConfigPrint(c), newConfigGet(c), newConfigSet(c))
}

// parseSettings parses the file of a role and returns a config.Broker or a config.Controller.
func parseSettings(file, role string) (any, string, error) {
	text, err := readSettings(file)
	if err != nil {
		return nil, "", err
	}
	return parseText(file, text, role)
}

// parseText is parseSettings for a file that was already read.
func parseText(file string, text []byte, role string) (any, string, error) {
	if role == "" {
		role = config.RoleOf(text)
	}
	switch role {
	case config.RoleBroker:
		b, err := config.ParseBroker(file, text)
		if err != nil {
			return nil, role, err
		}
		_, err = nodeConfig(b)
		return b, role, err
	case config.RoleController:
		b, err := config.ParseController(file, text)
		if err != nil {
			return nil, role, err
		}
		return b, role, clusterConfig(b.Metadata, b.Controller.DataDirectory).Validate()
	}
	return nil, "", usagef("--role %q must be broker or controller", role)
}

func newConfigCheck(c *cli) *cobra.Command {
	var role string
	var textOnly bool
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check a settings file", Args: cobra.ExactArgs(1),
		Long: `Checks whether a node would accept a settings file, without opening its disks and addresses. The
files that it names, and the credential files that the environment names, must exist, be readable
and match each other. So run it on the node's machine, as the user that runs the node, or use
--text-only elsewhere. Settings that are probably mistakes cause warnings on standard error.
To check the object store, use "sluice object check --config FILE".`,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, role, err := parseSettings(args[0], role)
			if err != nil {
				return err
			}
			warnings := []string{}
			n := newNamed(c.getenv)
			switch cfg := cfg.(type) {
			case config.Broker:
				warnings = append(warnings, cfg.Warnings()...)
				n.broker(cfg)
			case config.Controller:
				n.controller(cfg)
			}
			if !textOnly {
				if err := errors.Join(n.errs...); err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				warnings = append(warnings, n.warnings...)
			}
			for _, w := range warnings {
				if !c.json {
					c.say("%s", w)
				}
			}
			return c.result(map[string]any{"file": args[0], "role": role, "ok": true, "warnings": warnings}, "%s is valid for a %s", args[0], role)
		},
	}
	addRole(cmd, &role)
	cmd.Flags().BoolVar(&textOnly, "text-only", false, "check only the settings, not the files and directories they name")
	return cmd
}

func addRole(cmd *cobra.Command, role *string) {
	cmd.Flags().StringVar(role, "role", "", "broker or controller; by default detected from the file's tables")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{config.RoleBroker, config.RoleController}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

func newConfigPrint(c *cli) *cobra.Command {
	var file, role string
	cmd := &cobra.Command{
		Use: "print [NAME]", Short: "Print the default settings with comments, or the effective settings of a file", Args: cobra.MaximumNArgs(1),
		Long: `Prints a built-in settings file: broker and controller describe every key and its
default, example-development and example-production show typical settings.
With --config, prints every setting in effect with that file.`,
		ValidArgs: []string{"broker", "controller", "example-development", "example-production"},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case file != "" && len(args) > 0:
				return usagef("give either a name or --config")
			case file != "":
				cfg, _, err := parseSettings(file, role)
				if err != nil {
					return err
				}
				return c.printSettings(cfg)
			}
			name := config.RoleBroker
			if len(args) > 0 {
				name = args[0]
			}
			f, err := config.FindShipped(name)
			if err != nil {
				return &usageError{err}
			}
			if c.json {
				cfg, err := f.Parse()
				if err != nil {
					return err
				}
				return c.printSettings(cfg)
			}
			_, err = fmt.Fprint(c.stdout, f.Text)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "`FILE` with settings")
	_ = cmd.MarkFlagFilename("config", "toml") // the flag exists
	addRole(cmd, &role)
	return cmd
}

// printSettings prints each setting: as TOML, or one JSON document per line.
func (c *cli) printSettings(cfg any) error {
	if !c.json {
		_, err := fmt.Fprint(c.stdout, config.Format(cfg))
		return err
	}
	for k := range config.Keys(cfg) {
		if err := c.emit(map[string]any{"key": k.Name, "value": k.Value}); err != nil {
			return err
		}
	}
	return nil
}

func newConfigGet(c *cli) *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use: "get topic NAME [KEY...] | get limits [PIPELINE/STAGE]", Short: "Show configs of a topic, or limits of running stages", Args: cobra.MinimumNArgs(1),
		Long: `Shows configs of a topic, or the limits of stages, each with the least and the greatest value that
"sluice config set limits" takes and with the setting that it has in the file. A limit without a
setting, shown as -, is mostly fixed.`,
		Example: `  sluice config get topic orders retention.ms
  sluice config get limits write/batch`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case args[0] == "topic" && len(args) >= 2:
				return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error { return c.getTopicConfigs(ctx, a, args[1], args[2:]) })
			case args[0] == "limits" && len(args) <= 2:
				return c.getLimits(cmd.Context(), admin, strings.Join(args[1:], ""))
			}
			return usagef("say what to get: topic NAME [KEY...], or limits [PIPELINE/STAGE]")
		},
	}
	addAdmin(cmd, &admin)
	return cmd
}

func addAdmin(cmd *cobra.Command, admin *string) {
	cmd.Flags().StringVar(admin, "admin", config.DefaultBroker().Admin.Listen, "`HOST:PORT` of the broker's admin server, for limits")
}

func (c *cli) getTopicConfigs(ctx context.Context, a *kadm.Client, name string, keys []string) error {
	all, err := topicConfigs(ctx, a, name, true)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		keys = slices.Sorted(maps.Keys(all))
	}
	for _, k := range keys {
		v, ok := all[k]
		if !ok {
			return fmt.Errorf("topics have no config %s; `sluice config get topic %s` shows all", k, argument(name))
		}
		if err := c.result(map[string]any{"topic": name, "key": k, "value": v}, "%s=%s", k, v); err != nil {
			return err
		}
	}
	return nil
}

func newConfigSet(c *cli) *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use: "set topic NAME KEY=VALUE... | set limits PIPELINE/STAGE KEY=VALUE...", Short: "Change configs of a topic, or limits of running stages", Args: cobra.MinimumNArgs(3),
		Long: `Changes configs of a topic permanently, or limits of a stage until the broker
restarts: depth, workers, and those that "sluice config get limits" shows for it.`,
		Example: `  sluice config set topic orders retention.ms=86400000
  sluice config set limits write/batch linger_us=500`,
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := assignments("the setting", args[2:])
			if err != nil {
				return err
			}
			switch args[0] {
			case "topic":
				return c.admin(cmd.Context(), func(ctx context.Context, a *kadm.Client) error {
					return c.alterTopic(ctx, a, args[1], 0, set, nil)
				})
			case "limits":
				return c.setLimits(cmd.Context(), admin, args[1], set)
			}
			return usagef("say what to set: topic NAME KEY=VALUE..., or limits PIPELINE/STAGE KEY=VALUE...")
		},
	}
	addAdmin(cmd, &admin)
	return cmd
}
