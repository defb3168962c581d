package scenario

import "time"

const (
	second = time.Second
	soon   = 2 * time.Second // time of undisturbed load before the first fault
)

func one(k Kind, on Target, d time.Duration) Fault { return Fault{Kind: k, On: on, At: soon, For: d} }

func later(f Fault, d time.Duration) Fault { f.At += d; return f }

func flapping(f Fault, every time.Duration) Fault { f.Every = every; return f }

var (
	lossy   = Fault{Kind: Loss, On: Network, At: soon, For: 15 * second, Share: 0.1}
	slow    = Fault{Kind: Delay, On: Network, At: soon, For: 15 * second, Delay: 25 * time.Millisecond}
	jumbled = Fault{Kind: Delay, On: Network, At: soon, For: 15 * second, Delay: time.Millisecond, Jitter: 20 * time.Millisecond}
	forth   = Fault{Kind: Clock, On: Leader, At: soon, For: 10 * second, Delay: time.Hour}
	back    = Fault{Kind: Clock, On: Follower, At: soon, For: 10 * second, Delay: -5 * time.Minute}
	away    = Fault{Kind: Store, On: Network, At: soon, For: 15 * second}
)

// List is every scenario.
var List = []Scenario{
	{"kill-leader", "a leader dies", Steady, []Fault{one(Kill, Leader, 5*second)}},
	{"kill-follower", "a follower dies", Steady, []Fault{one(Kill, Follower, 5*second)}},
	{"kill-briefly", "a leader dies and is back at once", Steady, []Fault{one(Kill, Leader, second/2)}},
	{"kill-twice", "a node dies again as soon as it is back", Steady, []Fault{one(Kill, Leader, 2*second), later(one(Kill, Same, 2*second), 6*second)}},
	{"kill-in-turn", "the next leader dies when the last one is back", Halt, []Fault{one(Kill, Leader, 3*second), later(one(Kill, Leader, 3*second), 8*second), later(one(Kill, Leader, 3*second), 16*second)}},
	{"kill-majority", "two of three nodes die", Halt, []Fault{one(Kill, Leader, 6*second), later(one(Kill, Follower, 4*second), second)}},
	{"kill-all", "every node dies at once", Halt, []Fault{one(Kill, All, 3*second)}},
	{"freeze-leader", "a leader is silent, and returns as if nothing had happened", Lease, []Fault{one(Freeze, Leader, 15*second)}},
	{"freeze-follower", "a follower is silent", Lease, []Fault{one(Freeze, Follower, 15*second)}},
	{"freeze-briefly", "a leader pauses for less than a lease", Lease, []Fault{one(Freeze, Leader, second)}},
	{"freeze-often", "a leader pauses again and again", Halt, []Fault{flapping(one(Freeze, Leader, 12*second), 3*second)}},
	{"freeze-all", "every node pauses at once", Halt, []Fault{one(Freeze, All, 8*second)}},
	{"isolate-leader", "a leader is cut off from everybody", Lease, []Fault{one(Isolate, Leader, 15*second)}},
	{"isolate-follower", "a follower is cut off from everybody", Lease, []Fault{one(Isolate, Follower, 15*second)}},
	{"isolate-all", "every node is alone", Halt, []Fault{one(Isolate, All, 10*second)}},
	{"depart-leader", "clients reach a leader that no other node reaches", Lease, []Fault{one(Depart, Leader, 15*second)}},
	{"depart-follower", "clients reach a follower that no other node reaches", Lease, []Fault{one(Depart, Follower, 15*second)}},
	{"mute-leader", "a leader hears everybody, and nobody hears it", Lease, []Fault{one(Mute, Leader, 15*second)}},
	{"mute-follower", "a follower hears everybody, and nobody hears it", Lease, []Fault{one(Mute, Follower, 15*second)}},
	{"deaf-leader", "everybody hears a leader, and it hears nobody", Lease, []Fault{one(Deafen, Leader, 15*second)}},
	{"deaf-follower", "everybody hears a follower, and it hears nobody", Lease, []Fault{one(Deafen, Follower, 15*second)}},
	{"split-link", "two nodes cannot reach each other, the third reaches both", Halt, []Fault{one(Split, Leader, 15*second)}},
	{"flapping-leader", "a leader is cut off again and again", Halt, []Fault{flapping(one(Isolate, Leader, 15*second), 3*second)}},
	{"flapping-follower", "a follower is cut off again and again", Halt, []Fault{flapping(one(Isolate, Follower, 15*second), second)}},
	{"loss", "one packet of ten is lost", Lease, []Fault{lossy}},
	{"loss-and-kill", "a leader dies while one packet of ten is lost", Halt, []Fault{lossy, later(one(Kill, Leader, 5*second), 4*second)}},
	{"delay", "every packet takes 25 ms", Lease, []Fault{slow}},
	{"jumble-and-freeze", "packets overtake each other, and a leader pauses", Halt, []Fault{jumbled, later(one(Freeze, Leader, 8*second), 3*second)}},
	{"isolate-and-kill", "a leader is cut off, and the next one dies", Halt, []Fault{one(Isolate, Leader, 12*second), later(one(Kill, Follower, 3*second), 6*second)}},
	{"full-disk-leader", "a leader's disk is full", Halt, []Fault{one(Fill, Leader, 8*second)}},
	{"full-disk-follower", "a follower's disk is full", Halt, []Fault{one(Fill, Follower, 8*second)}},
	{"clock-forward", "a leader's clock is an hour ahead", Lease, []Fault{forth}},
	{"clock-back", "a follower's clock is five minutes behind", Lease, []Fault{back}},
	{"store-away", "the object store does not answer", Steady, []Fault{away}},
	{"store-away-and-kill", "a leader dies while the object store does not answer", Steady, []Fault{away, later(one(Kill, Leader, 5*second), 4*second)}},
}
