package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/internal/certs"
)

// defaultCertDir is the directory of a cluster's CA if --dir is not given.
const defaultCertDir = "certs"

// defaultInternalDir is the same for the internal CA.
const defaultInternalDir = "certs-internal"

func newCert(c *cli) *cobra.Command {
	return family("cert", "Create, show and renew a cluster's certificates with your own authority",
		newCertInit(c), newCertIssue(c), newCertShow(c), newCertRenew(c))
}

// certDir adds the flag for the directory of the CA.
func certDir(cmd *cobra.Command, dir *string, def, usage string) {
	cmd.Flags().StringVar(dir, "dir", def, usage)
	_ = cmd.MarkFlagDirname("dir") // the flag exists
}

// lifeIn converts --days to a duration, 0 if the flag is not given and has no default.
func lifeIn(cmd *cobra.Command, days int) (time.Duration, error) {
	if days < 0 || days > 36500 || days == 0 && cmd.Flags().Changed("days") {
		return 0, usagef("--days must be from 1 to 36500")
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

func newCertInit(c *cli) *cobra.Command {
	var dir, name string
	var days int
	var internal bool
	cmd := &cobra.Command{
		Use: "init", Short: "Create an authority that signs the certificates of a cluster", Args: cobra.NoArgs,
		Long: `Creates a certificate authority (CA): DIR/ca.crt, which whoever is to trust its certificates needs,
and DIR/ca.key, which signs them. Anyone with the key can impersonate any broker or client: keep it
on a machine that runs neither. An existing CA is never overwritten.

With --internal it is the CA of the certificates that brokers and controllers show each other. It
must not be the one that signs certificates of clients, so it has a directory of its own.`,
		Example: `  sluice cert init --name "orders cluster"
  sluice cert init --internal`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			life, err := lifeIn(cmd, days)
			if err != nil {
				return err
			}
			create := certs.Init
			if internal {
				create = certs.InitInternal
				dir, name = orDefault(cmd, "dir", dir, defaultInternalDir), orDefault(cmd, "name", name, "Sluice internal authority")
			}
			f, made, err := create(dir, name, life)
			if err != nil {
				return err
			}
			return c.result(map[string]any{"ca": f.CA, "ca_key": f.CAKey, "serial": serial(made), "ends": made.NotAfter},
				"created the authority %s with the key %s, valid until %s", f.CA, f.CAKey, made.NotAfter.Format(time.DateOnly))
		},
	}
	certDir(cmd, &dir, defaultCertDir, "`DIR` for the authority, created if missing")
	cmd.Flags().StringVar(&name, "name", "Sluice authority", "issuer name in certificates")
	cmd.Flags().BoolVar(&internal, "internal", false, "for certificates between brokers and controllers; --dir is "+defaultInternalDir+" by default")
	cmd.Flags().IntVar(&days, "days", 3650, "`DAYS` of validity")
	return cmd
}

// shortLife warns if a certificate expires early because its CA does.
func (c *cli) shortLife(made *x509.Certificate, wanted time.Duration) {
	if !c.json && wanted > 0 && time.Until(made.NotAfter) < wanted-time.Hour {
		c.say("it is only valid until %s, when the authority expires", made.NotAfter.Format(time.DateOnly))
	}
}

func newCertRenew(c *cli) *cobra.Command {
	var dir string
	var days int
	cmd := &cobra.Command{
		Use: "renew FILE.crt", Short: "Replace a certificate and its key, keeping its names", Args: cobra.ExactArgs(1),
		Long: `Replaces a certificate and its key. The subject, names and uses stay the same; the key and serial
number are new. A running broker loads them within two seconds; clients read theirs when they start.
The key is FILE.key unless --key names another. The files keep their owner and mode.`,
		Example: `  sluice cert renew certs/broker-1.crt
  sluice cert renew /etc/sluice/tls/broker.crt --dir /media/safe/certs`,
		RunE: func(cmd *cobra.Command, args []string) error {
			life, err := lifeIn(cmd, days)
			if err != nil {
				return err
			}
			file := args[0]
			old, made, err := certs.Renew(or(dir, filepath.Dir(file)), file, keyOf(c.key, file), life)
			if err != nil {
				return err
			}
			c.shortLife(made, life)
			return c.result(map[string]any{"certificate": file, "key": keyOf(c.key, file), "old_serial": serial(old), "serial": serial(made), "sans": sans(made), "ends": made.NotAfter},
				"renewed %s: serial number %s instead of %s, valid until %s", file, serial(made), serial(old), made.NotAfter.Format(time.DateOnly))
		},
	}
	certDir(cmd, &dir, "", "`DIR` of the authority; by default that of the certificate")
	cmd.Flags().IntVar(&days, "days", 0, "`DAYS` of validity; by default those of the old certificate")
	return cmd
}

// keyOf returns the key file of a certificate.
func keyOf(given, certificate string) string {
	return or(given, strings.TrimSuffix(certificate, filepath.Ext(certificate))+".key")
}

func serial(cert *x509.Certificate) string { return hex.EncodeToString(cert.SerialNumber.Bytes()) }

// sans returns the SANs of a certificate, never nil.
func sans(cert *x509.Certificate) []string { return append([]string{}, certs.SANs(cert)...) }

func newCertShow(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "show FILE...", Short: "Show who certificates are for, when they expire, and whether key and authority match", Args: cobra.MinimumNArgs(1),
		Long: `Shows each certificate in the files and checks that it is valid now, that it matches its key
(FILE.key next to it, or --key), and that it is trusted by the CA (ca.crt next to it, or --ca).
The exit code is 1 if a check fails.`,
		Example: `  sluice cert show certs/*.crt
  sluice cert show /etc/sluice/tls/broker.crt --ca ca.crt`,
		RunE: func(_ *cobra.Command, args []string) error {
			if c.key != "" && len(args) > 1 {
				return usagef("--key belongs to one certificate; name only that one")
			}
			var wrong []string
			for _, file := range args {
				bad, err := c.showCertificates(file)
				if err != nil {
					return err
				}
				wrong = append(wrong, bad...)
			}
			if len(wrong) > 0 {
				return errors.New(strings.Join(wrong, "; "))
			}
			return nil
		},
	}
}

// showCertificates prints the certificates in a file and returns what is wrong with them. The first
// is the one in use; the others are its chain or, as in a list of CAs, independent.
func (c *cli) showCertificates(file string) (wrong []string, err error) {
	chain, err := certs.Read(file)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for i, cert := range chain {
		s := shown{cert: cert, file: file, now: now, key: "not looked for", chain: "not looked at: no ca.crt is beside it; give --ca"}
		s.note("", certs.Valid(cert, now), "")
		switch {
		case i == 0:
			s.checkKey(c.key)
			s.checkChain(chain, c.ca)
		case !certs.Above(chain, i): // not in the chain of the first, as in a list of CAs
			s.checkChain(slices.Concat(chain[i:], chain[:i]), c.ca)
		default:
			s.chain, s.key = "see the first certificate of the file", "that of another"
		}
		for _, w := range s.wrong {
			wrong = append(wrong, file+": "+w)
		}
		if err := s.print(c); err != nil {
			return nil, err
		}
	}
	return wrong, nil
}

// shown is a certificate and the findings about it.
type shown struct {
	cert       *x509.Certificate
	file       string
	now        time.Time
	key, chain string
	keyFits    *bool
	chainFits  *bool
	wrong      []string
}

// note records err as a finding and returns the text to show.
func (s *shown) note(what string, err error, good string) string {
	if err == nil {
		return good
	}
	s.wrong = append(s.wrong, strings.TrimSpace(what+" "+err.Error()))
	return err.Error()
}

func (s *shown) checkKey(given string) {
	file := keyOf(given, s.file)
	if _, err := os.Stat(file); err != nil && given == "" {
		s.key = "none beside it"
		return
	}
	err := certs.Match(s.file, file)
	fits := err == nil
	s.keyFits, s.key = &fits, s.note("key:", err, file+" fits")
}

func (s *shown) checkChain(chain []*x509.Certificate, given string) {
	ca := or(given, filepath.Join(filepath.Dir(s.file), "ca.crt"))
	if _, err := os.Stat(ca); err != nil && given == "" {
		return
	}
	err := certs.Verify(chain, ca, s.now)
	fits := err == nil
	s.chainFits, s.chain = &fits, s.note("authority:", err, "signed by an authority in "+ca)
}

func (s *shown) print(c *cli) error {
	cert := s.cert
	if c.json {
		doc := map[string]any{"file": s.file, "subject": cert.Subject.String(), "issuer": cert.Issuer.String(), "serial": serial(cert), "sans": sans(cert),
			"uses": append([]string{}, certs.Uses(cert)...), "begins": cert.NotBefore, "ends": cert.NotAfter, "seconds_left": int64(cert.NotAfter.Sub(s.now).Seconds()),
			"key": certs.KeyKind(cert), "sha256": fmt.Sprintf("%x", sha256.Sum256(cert.Raw)), "problems": append([]string{}, s.wrong...)}
		if s.keyFits != nil {
			doc["key_matches"] = *s.keyFits
		}
		if s.chainFits != nil {
			doc["chain_verified"] = *s.chainFits
		}
		return c.emit(doc)
	}
	_, err := fmt.Fprintf(c.stdout, `%s
  subject   %s
  names     %s
  use       %s
  issuer    %s
  serial    %s
  valid     %s to %s, %s
  key       %s; %s
  chain     %s
  sha256    %x
`, s.file, cert.Subject, or(strings.Join(certs.SANs(cert), ", "), "none"), or(strings.Join(certs.Uses(cert), ", "), "not said"), cert.Issuer, serial(cert),
		cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339), certs.Left(cert, s.now), certs.KeyKind(cert), s.key, s.chain, sha256.Sum256(cert.Raw))
	return err
}
