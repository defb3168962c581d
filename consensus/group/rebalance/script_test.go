package rebalance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/meta"
)

// TestScripts runs testdata/*. Each command is an event; the output is its effects and the
// group. -rewrite rewrites the expectations.
//
//	new [delay=3s] [members=N] [bytes=N]        a new group
//	join [id=] [new=] [instance=] [known] [skip] [session=10s] [rebalance=30s] [type=consumer] [protocols=(range:a,rr)]
//	sync id= gen= [instance=] [type=] [protocol=] [assign=(m1:x,m2:y)]
//	heartbeat|commit id= gen= [instance=]
//	leave members=(m1,@instance,m2@instance)
//	delete
//	written id= [fail]                          the outcome of a write
//	advance by=3s                               time passes, with a Tick whenever one is due
//	describe | reload                           reload starts from the last successful write
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{now: time.UnixMilli(0).UTC()}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
	})
}

type script struct {
	g      *Group
	now    time.Time
	limits Limits
	ticket Ticket
	writes map[uint64]*meta.Group
	kept   *meta.Group
	out    strings.Builder
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	switch d.Cmd {
	case "new":
		s.limits = Limits{InitialDelay: span(d, "delay", 0), MinSession: 6 * time.Second, MaxSession: time.Minute, Members: 100, Bytes: 1 << 20}
		d.MaybeScanArgs(t, "members", &s.limits.Members)
		d.MaybeScanArgs(t, "bytes", &s.limits.Bytes)
		s.g, s.ticket, s.writes, s.kept = New("g", s.limits), 0, make(map[uint64]*meta.Group), nil
	case "reload":
		s.g = Load(s.kept, s.limits, s.now)
	case "advance":
		s.advance(span(d, "by", 0))
	case "describe":
		for _, m := range s.g.Describe().Members {
			fmt.Fprintf(&s.out, "%s%s client=%s host=%s metadata=%q assignment=%q\n", m.ID, at(m.InstanceID), m.ClientID, m.ClientHost, m.Metadata, m.Assignment)
		}
	default:
		s.step(s.event(t, d))
	}
	fmt.Fprintf(&s.out, "%v generation=%d", s.g.State(), s.g.Generation())
	if s.g.protocol != "" {
		fmt.Fprintf(&s.out, " protocol=%s", s.g.protocol)
	}
	for _, m := range s.g.members {
		leads := ""
		if m.id == s.g.leader {
			leads = "*"
		}
		fmt.Fprintf(&s.out, " %s%s%s", m.id, at(m.instance), leads)
	}
	return s.out.String() + "\n"
}

func (s *script) step(ev Event) {
	for _, e := range s.g.Step(s.now, ev) {
		fmt.Fprintln(&s.out, s.show(e))
	}
}

// advance ticks like a driver.
func (s *script) advance(by time.Duration) {
	end := s.now.Add(by)
	for w := s.g.Wake(); !w.IsZero() && !w.After(end); w = s.g.Wake() {
		s.now = w
		before := s.out.Len()
		s.step(Tick{})
		if s.out.Len() > before {
			fmt.Fprintf(&s.out, "... at %v\n", s.now.Sub(time.UnixMilli(0)))
		}
	}
	s.now = end
}

func (s *script) event(t *testing.T, d *datadriven.TestData) Event {
	id, instance := text(d, "id"), optional(d, "instance")
	var gen int32
	d.MaybeScanArgs(t, "gen", &gen)
	s.ticket++
	switch d.Cmd {
	case "join":
		j := Join{To: s.ticket, MemberID: id, NewID: text(d, "new"), InstanceID: instance, ClientID: "c", ClientHost: "/h",
			RequireID: d.HasArg("known"), CanSkip: d.HasArg("skip"), ProtocolType: "consumer",
			Session: span(d, "session", 10*time.Second), Rebalance: span(d, "rebalance", 30*time.Second)}
		if d.HasArg("type") {
			j.ProtocolType = text(d, "type")
		}
		for _, p := range list(d, "protocols", "range:a") {
			name, metadata, _ := strings.Cut(p, ":")
			j.Protocols = append(j.Protocols, Protocol{name, []byte(metadata)})
		}
		return j
	case "sync":
		ev := Sync{To: s.ticket, MemberID: id, InstanceID: instance, Generation: gen, ProtocolType: optional(d, "type"), Protocol: optional(d, "protocol")}
		for _, a := range list(d, "assign", "") {
			to, what, _ := strings.Cut(a, ":")
			ev.Assignments = append(ev.Assignments, Assignment{to, []byte(what)})
		}
		return ev
	case "heartbeat":
		return Heartbeat{To: s.ticket, MemberID: id, InstanceID: instance, Generation: gen}
	case "commit":
		return Commit{To: s.ticket, MemberID: id, InstanceID: instance, Generation: gen}
	case "leave":
		ev := Leave{To: s.ticket}
		for _, m := range list(d, "members", "") {
			l := Leaver{MemberID: m}
			if id, instance, ok := strings.Cut(m, "@"); ok {
				l = Leaver{id, &instance}
			}
			ev.Members = append(ev.Members, l)
		}
		return ev
	case "delete":
		return Delete{To: s.ticket}
	case "written":
		s.ticket--
		var n uint64
		d.ScanArgs(t, "id", &n)
		if !d.HasArg("fail") {
			s.kept = s.writes[n]
		}
		return Written{ID: n, OK: !d.HasArg("fail")}
	}
	t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	return nil
}

func (s *script) show(e Effect) string {
	switch e := e.(type) {
	case Joined:
		if e.Code != 0 {
			return fmt.Sprintf("#%d joined: %s id=%s", e.To, name(e.Code), e.MemberID)
		}
		out := fmt.Sprintf("#%d joined: id=%s generation=%d %s/%s leader=%s", e.To, e.MemberID, e.Generation, e.ProtocolType, e.Protocol, e.Leader)
		if e.SkipAssignment {
			out += " skip"
		}
		for _, m := range e.Members {
			out += fmt.Sprintf(" %s%s:%s", m.ID, at(m.InstanceID), m.Metadata)
		}
		return out
	case Synced:
		if e.Code != 0 {
			return fmt.Sprintf("#%d synced: %s", e.To, name(e.Code))
		}
		return fmt.Sprintf("#%d synced: %s/%s %q", e.To, e.ProtocolType, e.Protocol, e.Assignment)
	case Answer:
		return fmt.Sprintf("#%d %s", e.To, name(e.Code))
	case Left:
		out := fmt.Sprintf("#%d left: %s", e.To, name(e.Code))
		for _, c := range e.Codes {
			out += " " + name(c)
		}
		return out
	case Write:
		s.writes[e.ID] = e.State
		if e.Delete {
			return fmt.Sprintf("write %d: delete", e.ID)
		}
		out := fmt.Sprintf("write %d: generation=%d leader=%s changed=%dms", e.ID, e.State.Generation, e.State.Leader, e.State.StateMs)
		for _, m := range e.State.Members {
			out += fmt.Sprintf(" %s%s:%q", m.ID, at(m.InstanceID), m.Assignment)
		}
		return out
	case Rebalanced:
		return fmt.Sprintf("rebalanced: generation=%d members=%d", e.Generation, e.Members)
	case Expired:
		return fmt.Sprintf("removed %s: it %s", e.MemberID, e.Why)
	default:
		return fmt.Sprintf("%T", e)
	}
}

func name(code int16) string {
	if code == 0 {
		return "ok"
	}
	return kerr.TypedErrorForCode(code).Message
}

func at(instance *string) string {
	if instance == nil {
		return ""
	}
	return "@" + *instance
}

func text(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return ""
}

func optional(d *datadriven.TestData, key string) *string {
	if !d.HasArg(key) {
		return nil
	}
	s := text(d, key)
	return &s
}

func list(d *datadriven.TestData, key, otherwise string) []string {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return a.Vals
		}
	}
	if otherwise == "" {
		return nil
	}
	return []string{otherwise}
}

func span(d *datadriven.TestData, key string, otherwise time.Duration) time.Duration {
	if !d.HasArg(key) {
		return otherwise
	}
	v, err := time.ParseDuration(text(d, key))
	if err != nil {
		d.Fatalf(nil, "%v", err)
	}
	return v
}
