//go:build oracle

package oracle

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func connectionScenarios() []scenario {
	return []scenario{
		{"versions", 18, func(p *play) {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = "oracle", "1.0"
			p.do("asked", req)
			if p.version < 3 { // which have no names
				return
			}
			bad := kmsg.NewPtrApiVersionsRequest()
			bad.ClientSoftwareName, bad.ClientSoftwareVersion = "not a name!", "1.0"
			p.do("bad name", bad)
			for step, words := range map[string][2]string{"no names": {}, "no version": {"oracle", ""}, "name ends with a dot": {"oracle.", "1"},
				"name begins with a dash": {"-oracle", "1"}, "two lines": {"a\nb", "1"}, "umlaut": {"ä", "1"},
				"bad version": {"oracle", "1 0"}, "ends with a line": {"oracle\n", "1"}} {
				bad.ClientSoftwareName, bad.ClientSoftwareVersion = words[0], words[1]
				p.do(step, bad)
			}
			if p.version == 3 {
				laterVersions(p)
			}
		}},
		{"cluster", 60, func(p *play) {
			req := kmsg.NewPtrDescribeClusterRequest()
			p.do("asked", req)
			req.IncludeClusterAuthorizedOperations = true
			p.do("operations", req)
			controllers := kmsg.NewPtrDescribeClusterRequest()
			controllers.EndpointType = 2
			p.do("controllers", controllers)
			neither := kmsg.NewPtrDescribeClusterRequest()
			neither.EndpointType = 3
			p.do("neither", neither)
		}},
	}
}

// laterVersions sends ApiVersions in the version that names the intended broker (KIP-1242), and in
// one that neither broker supports.
func laterVersions(p *play) {
	ask := func(step string, version int16, cluster *string, node int32) {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "oracle", "1.0"
		req.ClusterID, req.NodeID = cluster, node
		p.at(step, version, req)
	}
	ask("version 5", 5, nil, -1)
	ask("version 5, this broker", 5, &p.side.clusterID, 1)
	ask("version 5, another broker", 5, &p.side.clusterID, 7)
	ask("version 5, another cluster", 5, kmsg.StringPtr("another"), 1)
	ask("version 5, only a cluster", 5, &p.side.clusterID, -1)
	ask("version 5, only a broker", 5, nil, 1)
	ask("version 5, no broker has that id", 5, &p.side.clusterID, -2)
	ask("version 5, neither right", 5, kmsg.StringPtr("another"), 7)
	ask("version 5, empty cluster", 5, kmsg.StringPtr(""), 1)
	ask("version 5, empty cluster alone", 5, kmsg.StringPtr(""), -1)
	bad := kmsg.NewPtrApiVersionsRequest()
	bad.ClientSoftwareName, bad.ClusterID, bad.NodeID = "not a name!", kmsg.StringPtr("another"), 7
	p.at("version 5, bad name and another broker", 5, bad)
	ask("version 6", 6, nil, -1)
	ask("version 99", 99, nil, -1)
	p.at("telemetry", 0, kmsg.NewPtrGetTelemetrySubscriptionsRequest())
}
