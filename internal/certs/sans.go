package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// checkName returns an error unless a name can be a common name and a file name.
func checkName(name string) error {
	if name == "" || filepath.Base(name) != name || strings.ContainsAny(name, `/\`) || name[0] == '.' || name[0] == '-' || len(name) > 64 {
		return fmt.Errorf("certificate name %q: choose one of 64 bytes at most that can be a file name", name)
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("certificate name %q: it has a control character", name)
		}
	}
	return nil
}

// addSANs adds names to a certificate, without duplicates, each to the field for its type.
func addSANs(t *x509.Certificate, names []string) error {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		if err := addSAN(t, name); err != nil {
			return fmt.Errorf("name %q: %w", name, err)
		}
	}
	return nil
}

func addSAN(t *x509.Certificate, name string) error {
	ip := net.ParseIP(name)
	switch {
	case ip != nil && ip.IsUnspecified():
		return errors.New("nobody connects to that address; give the one that clients use")
	case ip != nil:
		t.IPAddresses = append(t.IPAddresses, ip)
	case strings.Contains(name, "://"):
		u, err := url.Parse(name)
		if err != nil || u.Host == "" {
			return errors.New("it is no URI with a host, such as spiffe://example.org/app")
		}
		t.URIs = append(t.URIs, u)
	case strings.Contains(name, "@"):
		if a, err := mail.ParseAddress(name); err != nil || a.Address != name {
			return errors.New("it is no mail address")
		}
		t.EmailAddresses = append(t.EmailAddresses, name)
	default:
		if err := checkDNSName(name); err != nil {
			return err
		}
		t.DNSNames = append(t.DNSNames, name)
	}
	return nil
}

func checkDNSName(name string) error {
	host := strings.TrimPrefix(name, "*.")
	if h, _, err := net.SplitHostPort(name); err == nil && (!strings.Contains(h, ":") || name[0] == '[') {
		return errors.New("leave the port out")
	}
	if strings.Contains(name, ":") || strings.HasPrefix(name, "[") || looksLikeIPv4(host) {
		return errors.New("it looks like an IP address and is none; write 10.0.0.5 or fd00::5, without brackets, a port or a zone")
	}
	if strings.Contains(host, "*") {
		return errors.New("a wildcard stands for the first part of a name alone, as in *.example.com")
	}
	if len(host) == 0 || len(host) > 253 {
		return errors.New("it is no DNS name: it must have from 1 to 253 bytes")
	}
	for label := range strings.SplitSeq(host, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("it is no DNS name: its parts must have from 1 to 63 bytes and no hyphen at their ends")
		}
		for _, r := range label {
			switch {
			case r > 0x7f:
				return errors.New("write names that are not ASCII as DNS has them (xn--...)")
			case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			default:
				return fmt.Errorf("it is no DNS name: %q is not allowed in one", r)
			}
		}
	}
	return nil
}

// looksLikeIPv4 reports whether the last label of a host is a number, decimal or hexadecimal. No
// domain name ends in one, and parsers take such a host for an IPv4 address (WHATWG URL, "ends in a
// number").
func looksLikeIPv4(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex := strings.TrimPrefix(strings.ToLower(last), "0x"); hex != strings.ToLower(last) {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// SANs returns the names in a certificate in the form used by Request.
func SANs(c *x509.Certificate) (all []string) {
	all = append(all, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	return append(all, c.EmailAddresses...)
}
