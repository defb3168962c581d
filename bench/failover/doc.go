// Package failover measures how long a replicated log takes no writes when a node fails: for the
// partitions that the node led, and for all others. Nodes fail one after the other under load;
// the next one fails once the last is back and in sync. At the end everything is read back.
package failover
