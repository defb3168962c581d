// Package supervise runs the nodes of a development cluster, each as a process of its own, so that
// anyone can kill one and watch what the others do.
//
// In: what to run for each node, and a directory. Out: Events. In the directory of a node are:
//
//	pid      its process ID, while it runs
//	log      what it prints, of all its runs
//	start    somebody asks for a node that has ended to be started (see [Start]); removed when it is
//
// A node that ends stays down until it is asked for: what kills it is likely watching. When the
// supervisor is asked to stop, it asks all nodes to, and kills those that take too long.
//
// Nodes do not outlive their supervisor: where the kernel can do it (Linux), they are sent SIGTERM
// when it dies, however it dies. Elsewhere, the next supervisor finds that a node's directory is in
// use and says which process to stop. It never signals a process that it has not started.
//
// One goroutine, Run's, owns the state of the nodes. Each running node has one more that waits for
// its end.
package supervise
