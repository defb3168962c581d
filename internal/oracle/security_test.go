//go:build oracle

package oracle

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// securityScenarios are requests about ACLs, quotas, users and tokens to a broker without an
// authorizer or users, and about groups of kinds of which there are none.
func securityScenarios() []scenario {
	return []scenario{
		one("acls", func(*play) kmsg.Request {
			req := kmsg.NewPtrDescribeACLsRequest()
			req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = 1, 1, 1, 1
			return req
		}),
		one("create-acls", func(p *play) kmsg.Request {
			req := kmsg.NewPtrCreateACLsRequest()
			acl := kmsg.NewCreateACLsRequestCreation()
			acl.ResourceType, acl.ResourceName, acl.ResourcePatternType = 2, p.prefix+"t", 3
			acl.Principal, acl.Host, acl.Operation, acl.PermissionType = "User:a", "*", 3, 3
			req.Creations = append(req.Creations, acl)
			return req
		}),
		one("delete-acls", func(*play) kmsg.Request {
			req := kmsg.NewPtrDeleteACLsRequest()
			f := kmsg.NewDeleteACLsRequestFilter()
			f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = 2, 3, 3, 3
			req.Filters = append(req.Filters, f)
			return req
		}),
		one("client-quotas", func(*play) kmsg.Request { return kmsg.NewPtrDescribeClientQuotasRequest() }),
		{"alter-client-quotas", 49, func(p *play) {
			req := kmsg.NewPtrAlterClientQuotasRequest()
			req.ValidateOnly = true
			p.do("asked", req)
			req.Entries = []kmsg.AlterClientQuotasRequestEntry{{
				Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: kmsg.StringPtr("a")}},
				Ops:    []kmsg.AlterClientQuotasRequestEntryOp{{Key: "producer_byte_rate", Value: 1000}}}}
			p.do("one", req)
		}},
		{"scram", 50, func(p *play) {
			req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
			p.do("asked", req)
			req.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: "a"}, {Name: "b"}, {Name: "b"}, {Name: ""}}
			p.do("named", req)
		}},
		{"alter-scram", 51, func(p *play) {
			req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
			p.do("asked", req)
			req.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "a", Mechanism: 1}, {Name: "b", Mechanism: 9}}
			p.do("delete", req)
		}},
		one("delegation-tokens", func(*play) kmsg.Request { return kmsg.NewPtrDescribeDelegationTokenRequest() }),
		one("sasl-handshake", func(*play) kmsg.Request {
			req := kmsg.NewPtrSASLHandshakeRequest()
			req.Mechanism = "PLAIN"
			return req
		}),
		one("sasl-authenticate", func(*play) kmsg.Request {
			req := kmsg.NewPtrSASLAuthenticateRequest()
			req.SASLAuthBytes = []byte("\x00a\x00b")
			return req
		}),
		one("share-group-describe", func(p *play) kmsg.Request {
			req := kmsg.NewPtrShareGroupDescribeRequest()
			req.GroupIDs = []string{p.prefix + "g"}
			return req
		}),
		one("streams-group-describe", func(p *play) kmsg.Request {
			req := kmsg.NewPtrStreamsGroupDescribeRequest()
			req.Groups = []string{p.prefix + "g"}
			return req
		}),
		one("unregister-broker", func(*play) kmsg.Request {
			req := kmsg.NewPtrUnregisterBrokerRequest()
			req.BrokerID = 12345
			return req
		}),
	}
}
