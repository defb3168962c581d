package kafka

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// versions sends ApiVersions on a new connection.
func versions(t *testing.T, version int16, change func(*kmsg.ApiVersionsRequest)) *kmsg.ApiVersionsResponse {
	t.Helper()
	w := dial(t, DefaultServerConfig(), echo)
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1"
	if change != nil {
		change(req)
	}
	req.SetVersion(version)
	w.send(req, 7)
	id, rest := w.receive()
	resp := kmsg.NewPtrApiVersionsResponse()
	if version <= apiVersionsMax {
		resp.SetVersion(version)
	}
	if err := resp.ReadFrom(rest); err != nil || id != 7 {
		t.Fatalf("version %d: answer %d, %v", version, id, err)
	}
	return resp
}

func TestApiVersions(t *testing.T) {
	for v := range int16(apiVersionsMax + 1) {
		resp := versions(t, v, nil)
		if resp.ErrorCode != 0 || len(resp.ApiKeys) != 2 || resp.ApiKeys[0].MaxVersion != 5 || resp.ApiKeys[1].ApiKey != 12 || resp.ApiKeys[1].MaxVersion != 4 {
			t.Errorf("version %d: %+v", v, resp)
		}
	}
	for _, v := range []int16{6, 99, 32767} { // answered in version 0
		resp := versions(t, v, nil)
		if resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) != 1 ||
			resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MinVersion != 0 || resp.ApiKeys[0].MaxVersion != 5 {
			t.Errorf("version %d: %+v", v, resp)
		}
	}
}

// A client that expects another broker or cluster gets an error.
func TestApiVersionsOfAnotherBroker(t *testing.T) {
	home, away, empty := "home", "away", ""
	for _, tt := range []struct {
		cluster *string
		node    int32
		want    *kerr.Error
	}{
		{nil, -1, nil}, {&home, 3, nil}, {&home, 4, kerr.RebootstrapRequired}, {&away, 3, kerr.RebootstrapRequired}, {&away, 4, kerr.RebootstrapRequired},
		{&empty, 3, kerr.RebootstrapRequired}, {&home, -2, kerr.RebootstrapRequired}, {&home, -1, kerr.InvalidRequest}, {nil, 3, kerr.InvalidRequest},
	} {
		resp := versions(t, 5, func(r *kmsg.ApiVersionsRequest) { r.ClusterID, r.NodeID = tt.cluster, tt.node })
		what := fmt.Sprintf("node %d", tt.node)
		if tt.cluster != nil {
			what += " of " + *tt.cluster
		}
		wantCode(t, what, resp.ErrorCode, tt.want)
		if (tt.want == nil) != (len(resp.ApiKeys) == 2) {
			t.Errorf("%s: %+v", what, resp)
		}
		if resp := versions(t, 4, func(r *kmsg.ApiVersionsRequest) { r.ClusterID, r.NodeID = tt.cluster, tt.node }); resp.ErrorCode != 0 {
			t.Errorf("version 4 has no such fields: %+v", resp)
		}
	}
}

func TestApiVersionsOfClientsWithoutAName(t *testing.T) {
	for _, tt := range []struct {
		name, version string
		fine          bool
	}{
		{"librdkafka", "2.10.1", true}, {"a", "0", true}, {"apache-kafka-java", "4.4.0-SNAPSHOT", true}, {"x.-.y", "v1", true},
		{"", "", false}, {"a", "", false}, {"", "1", false}, {"a b", "1", false}, {"a", "1_0", false}, {"-a", "1", false}, {"a.", "1", false}, {".", "1", false},
		{"a\n", "1", false}, {"ä", "1", false}, {"a\x00b", "1", false},
	} {
		named := func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName, r.ClientSoftwareVersion = tt.name, tt.version }
		resp := versions(t, 3, named)
		if fine := resp.ErrorCode == 0 && len(resp.ApiKeys) == 2; fine != tt.fine || !fine && (resp.ErrorCode != kerr.InvalidRequest.Code || len(resp.ApiKeys) > 0) {
			t.Errorf("%q %q: %+v", tt.name, tt.version, resp)
		}
		if resp := versions(t, 2, named); resp.ErrorCode != 0 {
			t.Errorf("version 2 has no names: %+v", resp)
		}
	}
}
