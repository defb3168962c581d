package config

import (
	"strings"
	"testing"

	"github.com/sluicemq/sluice/internal/setting"
)

var bothRoles = setting.ListOf(RoleBroker, RoleController)

// three returns the cluster table of node 1 of three that are broker and controller.
func three() Cluster {
	c := setting.Default[Cluster]()
	c.Controllers = setting.ListOf("1@127.0.0.1:9095", "2@b.example.org:9095", "3@[fd00::3]:9095")
	c.CertificateFile, c.KeyFile, c.CAFile = "node-1.crt", "node-1.key", "ca.crt"
	return c
}

// clusterProblems returns what is wrong with a table, one sentence a line.
func clusterProblems(c Cluster, id int32, roles setting.List) string {
	var p setting.Problems
	c.validate(&p, id, roles)
	if err := p.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestClusterTables(t *testing.T) {
	if err := setting.Verify(Cluster{}); err != nil {
		t.Fatal(err)
	}
	apart := three()
	apart.Controllers, apart.Bootstrap = "", setting.ListOf("c1.example.org:9094", "10.0.0.7:9094")
	told := three()
	told.RaftListen, told.RaftAdvertised = "0.0.0.0:9095", "127.0.0.1:9095"
	for name, c := range map[string]struct {
		cluster Cluster
		roles   setting.List
	}{
		"alone":            {setting.Default[Cluster](), bothRoles},
		"of both roles":    {three(), bothRoles},
		"controllers only": {three(), setting.ListOf(RoleController)},
		"brokers only":     {apart, setting.ListOf(RoleBroker)},
		"other addresses":  {told, bothRoles},
	} {
		if wrong := clusterProblems(c.cluster, 1, c.roles); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
	}
	if all := three().Members(); len(all) != 3 || all[2] != (Member{3, "[fd00::3]:9095"}) {
		t.Errorf("the members are %v", all)
	}
	c := three()
	c.MetadataAdvertised = "a.example.org:19094"
	if c.Metadata() != "a.example.org:19094" || c.Raft() != "127.0.0.1:9095" || c.Internal() != "127.0.0.1:9093" {
		t.Errorf("others are told %s, %s and %s", c.Metadata(), c.Raft(), c.Internal())
	}
}

func TestClusterTablesThatAreWrong(t *testing.T) {
	broker, controller := setting.ListOf(RoleBroker), setting.ListOf(RoleController)
	members := func(all ...string) func(*Cluster) {
		return func(c *Cluster) { c.Controllers = setting.ListOf(all...) }
	}
	bootstrap := func(all ...string) func(*Cluster) {
		return func(c *Cluster) { c.Controllers, c.Bootstrap = "", setting.ListOf(all...) }
	}
	for want, c := range map[string]struct {
		roles  setting.List
		change func(*Cluster)
	}{
		"cluster.controllers has two controllers with the ID 1":                             {bothRoles, members("1@127.0.0.1:9095", "1@b:9095", "3@c:9095")},
		"cluster.controllers has two controllers at B.example.org:9095":                     {bothRoles, members("1@127.0.0.1:9095", "2@b.example.org:9095", "3@B.example.org:9095")},
		"cluster.controllers (2@b:9095, 3@c:9095) lacks this node, whose broker.id is 1":    {bothRoles, members("2@b:9095", "3@c:9095")},
		"has this node, 1, at 127.0.0.1:9094, but its own address is 127.0.0.1:9095":        {bothRoles, members("1@127.0.0.1:9094")},
		"has this node, 1, at a.example.org:9095, but its own address is 127.0.0.1:9095":    {bothRoles, members("1@a.example.org:9095")},
		"has 127.0.0.1:9094, which is the address of cluster.metadata_listen":               {bothRoles, members("1@127.0.0.1:9095", "2@127.0.0.1:9094")},
		`cluster.controllers: "b:9095" must be like 1@HOST:9095`:                            {bothRoles, members("1@127.0.0.1:9095", "b:9095")},
		`cluster.controllers: "0@b:9095" must be like`:                                      {bothRoles, members("1@127.0.0.1:9095", "0@b:9095")},
		`cluster.controllers: "02@b:9095" must be like`:                                     {bothRoles, members("1@127.0.0.1:9095", "02@b:9095")},
		`cluster.controllers: "-2@b:9095" must be like`:                                     {bothRoles, members("1@127.0.0.1:9095", "-2@b:9095")},
		`cluster.controllers: "@b:9095" must be like`:                                       {bothRoles, members("1@127.0.0.1:9095", "@b:9095")},
		`cluster.controllers: "2147483648@b:9095" must be like`:                             {bothRoles, members("1@127.0.0.1:9095", "2147483648@b:9095")},
		`cluster.controllers: "2@b": the address must be HOST:PORT`:                         {bothRoles, members("1@127.0.0.1:9095", "2@b")},
		`cluster.controllers: "2@b:0": the port must be from 1 to 65535`:                    {bothRoles, members("1@127.0.0.1:9095", "2@b:0")},
		`cluster.controllers: "2@:9095": nobody can connect`:                                {bothRoles, members("1@127.0.0.1:9095", "2@:9095")},
		`cluster.controllers: "2@[::]:9095": nobody can connect`:                            {bothRoles, members("1@127.0.0.1:9095", "2@[::]:9095")},
		"cluster.bootstrap is for brokers that are no controllers":                          {bothRoles, func(c *Cluster) { c.Bootstrap = "c:9094" }},
		"cluster.bootstrap is for brokers, and broker.roles lacks that role":                {controller, func(c *Cluster) { c.Bootstrap = "c:9094" }},
		"cluster.controllers is for controllers, and broker.roles lacks that role":          {broker, func(*Cluster) {}},
		"broker.roles lacks controller, so this broker needs controllers elsewhere":         {broker, func(c *Cluster) { c.Controllers = "" }},
		`cluster.bootstrap: "c": the address must be HOST:PORT`:                             {broker, bootstrap("c")},
		`cluster.bootstrap: "1@c:9094" has an ID`:                                           {broker, bootstrap("1@c:9094")},
		"cluster.bootstrap has c:9094 twice":                                                {broker, bootstrap("c:9094", "c:9094")},
		"cluster.internal_listen is empty":                                                  {broker, func(c *Cluster) { bootstrap("c:9094")(c); c.InternalListen = "" }},
		"cluster.raft_listen must be HOST:PORT":                                             {controller, func(c *Cluster) { c.RaftListen = "9095" }},
		`cluster.raft_listen is what other nodes are told, but "0.0.0.0:9095"`:              {controller, func(c *Cluster) { c.RaftListen = "0.0.0.0:9095" }},
		"set cluster.metadata_advertised":                                                   {controller, func(c *Cluster) { c.MetadataListen = ":9094" }},
		`cluster.internal_advertised is what other nodes are told, but "a"`:                 {bothRoles, func(c *Cluster) { c.InternalAdvertised = "a" }},
		`cluster.metadata_listen is what other nodes are told, but "127.0.0.1:0"`:           {controller, func(c *Cluster) { c.MetadataListen = "127.0.0.1:0" }},
		"cluster.metadata_listen (127.0.0.1:9095) and cluster.raft_listen (127.0.0.1:9095)": {controller, func(c *Cluster) { c.MetadataListen = c.RaftListen }},
		"cluster.raft_listen (127.0.0.1:9095) and cluster.internal_listen (localhost:9095)": {bothRoles, func(c *Cluster) { c.InternalListen = "localhost:9095" }},
		"nodes of a cluster need cluster.certificate_file":                                  {bothRoles, func(c *Cluster) { c.CAFile = "" }},
	} {
		table := three()
		c.change(&table)
		if wrong := clusterProblems(table, 1, c.roles); !strings.Contains(wrong, want) {
			t.Errorf("%q is not in what is wrong: %s", want, wrong)
		}
	}
}

func TestWarningOfAnEvenNumberOfControllers(t *testing.T) {
	c := three()
	if all := c.warnings(); len(all) > 0 {
		t.Errorf("three: %v", all)
	}
	c.Controllers = setting.ListOf("1@a:9095", "2@b:9095")
	if all := c.warnings(); len(all) != 1 || !strings.Contains(all[0], "needs 2 of them, so it survives as few failures as with 1") {
		t.Errorf("two: %v", all)
	}
}
