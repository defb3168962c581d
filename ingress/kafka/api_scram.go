package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka's mechanism numbers.
const (
	scramSHA256 = 1
	scramSHA512 = 2
)

var (
	noSCRAMUser = "there is no such user: clients authenticate with certificates"
	noSCRAM     = "SCRAM users are not supported: clients authenticate with certificates"
	namedTwice  = "the user is named twice"
)

// describeSCRAM serves DescribeUserScramCredentials (KIP-554): no user has any.
func describeSCRAM(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.DescribeUserSCRAMCredentialsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	resp.ErrorMessage = kmsg.StringPtr("")
	seen := make(map[string]int, len(req.Users))
	for i := range req.Users {
		seen[req.Users[i].Name]++
	}
	for i := range req.Users {
		name := req.Users[i].Name
		times := seen[name]
		if delete(seen, name); times == 0 {
			continue // already answered
		}
		out := kmsg.DescribeUserSCRAMCredentialsResponseResult{User: name, ErrorCode: kerr.ResourceNotFound.Code, ErrorMessage: &noSCRAMUser}
		if times > 1 {
			out.ErrorCode, out.ErrorMessage = kerr.DuplicateResource.Code, &namedTwice
		}
		resp.Results = append(resp.Results, out)
	}
	return resp
}

// alterSCRAM serves AlterUserScramCredentials; each user is answered once.
func alterSCRAM(_ context.Context, r *Request) kmsg.Response {
	req := r.Body.(*kmsg.AlterUserSCRAMCredentialsRequest)
	resp := req.ResponseKind().(*kmsg.AlterUserSCRAMCredentialsResponse)
	seen := make(map[string]bool, len(req.Upsertions)+len(req.Deletions))
	add := func(user string, code int16, text *string) {
		if !seen[user] {
			seen[user] = true
			resp.Results = append(resp.Results, kmsg.AlterUserSCRAMCredentialsResponseResult{User: user, ErrorCode: code, ErrorMessage: text})
		}
	}
	for i := range req.Upsertions {
		add(req.Upsertions[i].Name, kerr.UnsupportedSaslMechanism.Code, &noSCRAM)
	}
	for i := range req.Deletions {
		if d := &req.Deletions[i]; d.Mechanism == scramSHA256 || d.Mechanism == scramSHA512 {
			add(d.Name, kerr.ResourceNotFound.Code, &noSCRAMUser)
		} else {
			add(d.Name, kerr.UnsupportedSaslMechanism.Code, &noSCRAM)
		}
	}
	return resp
}
