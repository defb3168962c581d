package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Role is what a node may be to other nodes.
type Role string

// The roles.
const (
	RoleBroker     Role = "broker"
	RoleController Role = "controller"
)

// nodeScheme is the scheme of URI SANs that only internal certificates may have.
const nodeScheme = "sluice"

// internalAuthority is the URI SAN of a CA that Init made for internal certificates. CAs from
// elsewhere need none: it only keeps the commands from mixing up the CAs of clients and nodes.
var internalAuthority = &url.URL{Scheme: nodeScheme, Host: "authority", Path: "/internal"}

// Node says whose an internal certificate is. The certificate has one URI SAN for each role:
//
//	sluice://broker/7
//	sluice://controller/7
//
// Host names and addresses in it mean nothing, so a node may move.
type Node struct {
	ID    int32
	Roles []Role
}

func (n Node) String() string {
	var roles []string
	for _, r := range n.Roles {
		roles = append(roles, string(r))
	}
	return fmt.Sprintf("%s %d", strings.Join(roles, " and "), n.ID)
}

// Is reports whether a node has a role.
func (n Node) Is(r Role) bool { return slices.Contains(n.Roles, r) }

// validate reports why nobody can be this node.
func (n Node) validate() error {
	if n.ID < 0 {
		return fmt.Errorf("node ID %d: it must be from 0 to 2147483647", n.ID)
	}
	if len(n.Roles) == 0 {
		return errors.New("a node must have a role, broker or controller")
	}
	for i, r := range n.Roles {
		if r != RoleBroker && r != RoleController {
			return fmt.Errorf("role %q must be broker or controller", r)
		}
		if slices.Contains(n.Roles[:i], r) {
			return fmt.Errorf("role %q is named twice", r)
		}
	}
	return nil
}

// uris returns the URI SANs of the node's certificate.
func (n Node) uris() (all []*url.URL) {
	for _, r := range n.Roles {
		all = append(all, &url.URL{Scheme: nodeScheme, Host: string(r), Path: "/" + strconv.Itoa(int(n.ID))})
	}
	return all
}

// NodeOf returns whose an internal certificate is. It does not verify the certificate.
func NodeOf(c *x509.Certificate) (Node, error) {
	var n Node
	for _, u := range c.URIs {
		role := Role(u.Host)
		if u.Scheme != nodeScheme || role != RoleBroker && role != RoleController {
			continue
		}
		id, err := strconv.ParseInt(strings.TrimPrefix(u.Path, "/"), 10, 32)
		one := Node{int32(id), []Role{role}}
		if err != nil || id < 0 || one.uris()[0].String() != u.String() {
			return Node{}, fmt.Errorf("the certificate names a node as %s, which should be like %s://%s/7", u, nodeScheme, role)
		}
		if len(n.Roles) > 0 && n.ID != one.ID {
			return Node{}, fmt.Errorf("the certificate is of two nodes, %d and %d", n.ID, one.ID)
		}
		n.ID = one.ID
		if !n.Is(role) {
			n.Roles = append(n.Roles, role)
		}
	}
	if len(n.Roles) == 0 {
		return Node{}, errors.New("the certificate is of no node, such as that of a client; nodes need one of the cluster's internal CA (sluice cert issue --node)")
	}
	return n, nil
}

// namesNode reports whether a certificate is one between nodes.
func namesNode(c *x509.Certificate) bool {
	return slices.ContainsFunc(c.URIs, func(u *url.URL) bool { return u.Scheme == nodeScheme })
}

// refuseNodes is for listeners of clients: a node's certificate is none of a client, even where
// both have the same CA.
func refuseNodes(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) > 0 && namesNode(cs.PeerCertificates[0]) {
		return errors.New("the certificate is an internal one of a node; clients need one of their own")
	}
	return nil
}
