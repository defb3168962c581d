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

// laterVersions asks in the version that tells which broker is meant (KIP-1242), and in one
// that nobody has.
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
	ask("version 6", 6, nil, -1)
	ask("version 99", 99, nil, -1)
	p.at("telemetry", 0, kmsg.NewPtrGetTelemetrySubscriptionsRequest())
}
