// Package echo is the reference for what QUIC itself can do on this machine: a server process
// and a client that exchange frames over raw quic-go streams of one connection, with Sluice's
// QUIC settings.
//
// A frame is a four-byte length and as many bytes as a mean produce request of the run it is
// compared with. In mode Ack the server reads a frame and answers with 60 bytes, like a broker;
// in mode Full it sends the frame back.
package echo
