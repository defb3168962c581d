// Package door has what listeners of all transports share: the bounds on
// connections, what is counted of them, and how to go on when the system has no
// room for another one.
package door
