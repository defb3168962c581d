package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluicemq/sluice/internal/setting"
)

// Cluster says how a node and the others of its cluster reach each other.
type Cluster struct {
	ClusterController
	ClusterBroker
	ClusterNode
}

// joined reports whether the node belongs to a cluster of several; otherwise the table has no
// effect.
func (c Cluster) joined() bool { return c.Controllers != "" || c.Bootstrap != "" }

// validate checks the table of a node with an id and roles.
func (c Cluster) validate(p *setting.Problems, id int32, roles setting.List) {
	broker, controller := roles.Has(RoleBroker), roles.Has(RoleController)
	if !c.joined() {
		p.Require(controller, "{broker.roles} lacks controller, so this broker needs controllers elsewhere: name some in {cluster.bootstrap}")
		return
	}
	var listen listeners
	if controller {
		c.ClusterController.validate(p, id, "broker.id")
		listen = append(listen, c.ClusterController.listeners()...)
	} else {
		p.Require(c.Controllers == "", "{cluster.controllers} is for controllers, and {broker.roles} lacks that role; brokers need {cluster.bootstrap}")
	}
	if broker {
		c.ClusterBroker.validate(p, controller)
		listen = append(listen, c.ClusterBroker.listeners()...)
	} else {
		p.Require(c.Bootstrap == "", "{cluster.bootstrap} is for brokers, and {broker.roles} lacks that role; controllers need {cluster.controllers}")
	}
	c.ClusterNode.validate(p)
	apart(p, listen)
}

// ClusterNode is the part of the cluster table that all nodes have.
type ClusterNode struct {
	// This node's internal certificate with its chain, its key, and the CA of all nodes'
	// certificates, as PEM (sluice cert issue --node). They are reloaded like those of the
	// tls table. Relative paths are relative to the data directory.
	CertificateFile string `toml:"certificate_file"`
	KeyFile         string `toml:"key_file"`
	CAFile          string `toml:"ca_file"`
}

// ClusterController is the part of controllers.
type ClusterController struct {
	// The controllers that the cluster starts with, each as ID@HOST:PORT with the address
	// of its raft_advertised, the same on all of them; an odd number, mostly 3. Controllers
	// that join later are added with a command. Empty: a node on its own.
	Controllers setting.List `toml:"controllers"`
	// Address at which the controller serves the metadata to brokers, and the one that they
	// are told, if it is another.
	MetadataListen     string `toml:"metadata_listen" default:"127.0.0.1:9094"`
	MetadataAdvertised string `toml:"metadata_advertised"`
	// The same for the controllers among themselves (Raft).
	RaftListen     string `toml:"raft_listen" default:"127.0.0.1:9095"`
	RaftAdvertised string `toml:"raft_advertised"`
}

// ClusterBroker is the part of brokers.
type ClusterBroker struct {
	// Controllers that a broker asks at its start, each as HOST:PORT with the address of its
	// metadata_advertised. One that answers is enough; it names the others. Only for brokers that
	// are no controllers.
	Bootstrap setting.List `toml:"bootstrap"`
	// Address at which the broker serves other brokers (replication), and the one that they
	// are told, if it is another.
	InternalListen     string `toml:"internal_listen" default:"127.0.0.1:9093"`
	InternalAdvertised string `toml:"internal_advertised"`
}

// Member is a controller of the cluster's first ones.
type Member struct {
	ID      int32
	Address string // of Raft
}

// ParseMember reads ID@HOST:PORT.
func ParseMember(text string) (Member, error) {
	id, address, ok := strings.Cut(text, "@")
	n, err := strconv.ParseUint(id, 10, 31)
	if !ok || err != nil || n == 0 || id[0] == '0' {
		return Member{}, fmt.Errorf("%q must be like 1@HOST:9095, with the ID of the controller, from 1 on", text)
	}
	if err := reachable(address); err != nil {
		return Member{}, fmt.Errorf("%q: %w", text, err)
	}
	return Member{int32(n), address}, nil
}

// reachable reports why others cannot connect to an address.
func reachable(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("the address must be HOST:PORT")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("the port must be from 1 to 65535")
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return errors.New("nobody can connect to that host; give the name or address of the machine")
	}
	return nil
}

// Members returns the first controllers. REQUIRES: the settings are valid.
func (c ClusterController) Members() (all []Member) {
	for _, text := range c.Controllers.All() {
		if m, err := ParseMember(text); err == nil {
			all = append(all, m)
		}
	}
	return all
}

// advertised returns the address that others are told.
func advertised(advertised, listen string) string {
	if advertised != "" {
		return advertised
	}
	return listen
}

// Raft returns the address that other controllers are told.
func (c ClusterController) Raft() string { return advertised(c.RaftAdvertised, c.RaftListen) }

// Metadata returns the address that brokers are told.
func (c ClusterController) Metadata() string {
	return advertised(c.MetadataAdvertised, c.MetadataListen)
}

// Internal returns the address that other brokers are told.
func (c ClusterBroker) Internal() string { return advertised(c.InternalAdvertised, c.InternalListen) }

// clusterAddress checks an address that others connect to, by the keys that end in _listen and
// _advertised.
func clusterAddress(p *setting.Problems, key, listen, told string) {
	p.Require(listen != "", "{cluster."+key+"_listen} is empty, but nodes of a cluster need it")
	p.Address("cluster."+key+"_listen", listen)
	at := key + "_advertised"
	if told == "" {
		at, told = key+"_listen", listen
	}
	err := reachable(told)
	p.Require(listen == "" || err == nil, "{cluster."+at+"} is what other nodes are told, but %q is not for that: %v; set {cluster."+key+"_advertised}", told, err)
}

// validate checks the settings of a controller with an id.
func (c ClusterController) validate(p *setting.Problems, id int32, idKey string) {
	clusterAddress(p, "metadata", c.MetadataListen, c.MetadataAdvertised)
	clusterAddress(p, "raft", c.RaftListen, c.RaftAdvertised)
	ids, addresses := make(map[int32]bool), make(map[string]bool)
	for _, text := range c.Controllers.All() {
		m, err := ParseMember(text)
		if err != nil {
			p.Require(false, "{cluster.controllers}: %v", err)
			continue
		}
		p.Require(!ids[m.ID], "{cluster.controllers} has two controllers with the ID %d", m.ID)
		p.Require(!addresses[strings.ToLower(m.Address)], "{cluster.controllers} has two controllers at %s", m.Address)
		p.Require(m.ID != id || strings.EqualFold(m.Address, c.Raft()),
			"{cluster.controllers} has this node, %d, at %s, but its own address is %s ({cluster.raft_listen}, {cluster.raft_advertised}); correct the one or the other", id, m.Address, c.Raft())
		p.Require(m.Address != c.Metadata() || m.Address == c.Raft(), "{cluster.controllers} has %s, which is the address of {cluster.metadata_listen}; it takes those of raft_listen", m.Address)
		ids[m.ID], addresses[strings.ToLower(m.Address)] = true, true
	}
	p.Require(ids[id], "{cluster.controllers} (%s) lacks this node, whose {"+idKey+"} is %d; correct the one or the other", strings.Join(c.Controllers.All(), ", "), id)
}

// validate checks the settings of a broker that has no metadata of its own, or has.
func (c ClusterBroker) validate(p *setting.Problems, controller bool) {
	clusterAddress(p, "internal", c.InternalListen, c.InternalAdvertised)
	if controller {
		p.Require(c.Bootstrap == "", "{cluster.bootstrap} is for brokers that are no controllers; this one has the role, so leave it empty")
		return
	}
	seen := make(map[string]bool)
	for _, address := range c.Bootstrap.All() {
		err := reachable(address)
		p.Require(err == nil, "{cluster.bootstrap}: %q: %v", address, err)
		p.Require(!strings.Contains(address, "@"), "{cluster.bootstrap}: %q has an ID; only {cluster.controllers} takes one", address)
		p.Require(!seen[strings.ToLower(address)], "{cluster.bootstrap} has %s twice", address)
		seen[strings.ToLower(address)] = true
	}
}

// validate checks the certificate's files.
func (c ClusterNode) validate(p *setting.Problems) {
	p.Require(c.CertificateFile != "" && c.KeyFile != "" && c.CAFile != "",
		"nodes of a cluster need {cluster.certificate_file}, {cluster.key_file} and {cluster.ca_file}; `sluice cert init --internal` and `sluice cert issue --node` make them")
}

func (c ClusterController) listeners() listeners {
	return listeners{{"cluster.metadata_listen", c.MetadataListen}, {"cluster.raft_listen", c.RaftListen}}
}

func (c ClusterBroker) listeners() listeners {
	return listeners{{"cluster.internal_listen", c.InternalListen}}
}

// warnings says what works and is hardly meant.
func (c ClusterController) warnings() (all []string) {
	if n := len(c.Controllers.All()); n > 0 && n%2 == 0 {
		all = append(all, fmt.Sprintf("cluster.controllers has %d controllers: the metadata needs %d of them, so it survives as few failures as with %d; take an odd number", n, n/2+1, n-1))
	}
	return all
}
