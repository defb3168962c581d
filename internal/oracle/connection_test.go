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
