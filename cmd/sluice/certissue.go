package main

import (
	"crypto/x509"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/internal/certs"
)

// issuing has the flags of cert issue.
type issuing struct {
	dir, out string
	days     int
	request  certs.Request
	node     int32 // -1: none
	roles    []string
}

func newCertIssue(c *cli) *cobra.Command {
	var i issuing
	cmd := &cobra.Command{
		Use: "issue NAME --server|--client | issue --node ID --role broker|controller", Short: "Create a certificate for a broker, a client, or a node among nodes", Args: cobra.MaximumNArgs(1),
		Long: `Creates NAME.crt and NAME.key, signed by the CA in DIR. A server's certificate must contain the names
and addresses that clients connect to, both those that brokers advertise (network.advertised_host)
and those that clients pass to --broker. NAME identifies a client. Existing files are not overwritten.

With --node, creates the certificate that a broker or controller shows other nodes, signed by the
internal CA ("sluice cert init --internal"). It names id and roles, and no host, so the node may
move. Its files are broker-ID, controller-ID or, for both roles, node-ID.`,
		Example: `  sluice cert issue broker-1 --server --san broker-1.example.com --san 10.0.0.5,localhost
  sluice cert issue billing --client
  sluice cert issue --node 1 --role broker,controller`,
		RunE: func(cmd *cobra.Command, args []string) error {
			life, err := lifeIn(cmd, i.days)
			if err != nil {
				return err
			}
			issue := i.named
			if cmd.Flags().Changed("node") || cmd.Flags().Changed("role") {
				issue = i.ofNode
			}
			f, made, err := issue(cmd, args, life)
			if err != nil {
				return err
			}
			c.shortLife(made, life)
			return c.result(map[string]any{"certificate": f.Cert, "key": f.Key, "ca": f.CA, "serial": serial(made), "sans": sans(made), "ends": made.NotAfter},
				"created %s and %s with serial number %s, valid until %s", f.Cert, f.Key, serial(made), made.NotAfter.Format(time.DateOnly))
		},
	}
	certDir(cmd, &i.dir, defaultCertDir, "`DIR` of the authority; with --node "+defaultInternalDir+" by default")
	f := cmd.Flags()
	f.StringVar(&i.out, "out", "", "`DIR` for the new files, created if missing; by default that of the authority")
	_ = cmd.MarkFlagDirname("out") // the flag exists
	f.BoolVar(&i.request.Server, "server", false, "for a broker")
	f.BoolVar(&i.request.Client, "client", false, "for a client")
	f.StringSliceVar(&i.request.SANs, "san", nil, "a subject alternative `NAME`: DNS name, IP address, URI or email address; repeat or separate by commas")
	f.Int32Var(&i.node, "node", -1, "for the broker or controller with this `ID`, to show to other nodes")
	hideDefaults(cmd, "node")
	f.StringSliceVar(&i.roles, "role", nil, "`ROLES` of the node: broker, controller, or both, separated by commas")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"broker", "controller", "broker,controller"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	f.IntVar(&i.days, "days", 397, "`DAYS` of validity, limited by that of the authority")
	return cmd
}

// named issues a certificate for clients to verify, or of a client.
func (i *issuing) named(_ *cobra.Command, args []string, life time.Duration) (f certs.Files, made *x509.Certificate, err error) {
	if len(args) == 0 {
		return f, nil, usagef("give the NAME of the certificate, or --node ID and --role for one between nodes")
	}
	r := i.request
	r.Name, r.Life = args[0], life
	if !r.Server && !r.Client {
		return f, nil, usagef("say what it is for: --server, --client, or both")
	}
	if r.Server && len(r.SANs) == 0 {
		return f, nil, usagef("give the names and addresses that clients connect to, with one or more --san HOST")
	}
	return certs.IssueFor(i.dir, r, or(i.out, i.dir))
}

// ofNode issues a certificate of a node.
func (i *issuing) ofNode(cmd *cobra.Command, args []string, life time.Duration) (f certs.Files, made *x509.Certificate, err error) {
	switch {
	case len(args) > 0:
		return f, nil, usagef("the certificate of a node is named by its id and roles; leave %s out", args[0])
	case i.request.Server || i.request.Client || len(i.request.SANs) > 0:
		return f, nil, usagef("--server, --client and --san are for certificates that clients see; nodes have only --node and --role")
	case i.node < 0 || len(i.roles) == 0:
		return f, nil, usagef("give both --node ID and --role broker, controller or broker,controller")
	}
	n := certs.Node{ID: i.node}
	for _, r := range i.roles {
		n.Roles = append(n.Roles, certs.Role(r))
	}
	dir := orDefault(cmd, "dir", i.dir, defaultInternalDir)
	return certs.IssueNode(dir, n, life, or(i.out, dir))
}

// orDefault returns the value of a flag, or def if it was not given.
func orDefault(cmd *cobra.Command, flag, value, def string) string {
	if cmd.Flags().Changed(flag) {
		return value
	}
	return def
}
