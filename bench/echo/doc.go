// Package echo is the yardstick of what QUIC itself can carry here: a server of its
// own process and a client that exchange frames over raw quic-go streams of one
// connection, with the settings that Sluice has for QUIC.
//
// A frame is four bytes of length and as many bytes as a mean produce request of the
// run that it is compared with. In mode Ack the server reads a frame and answers with
// 60 bytes, as a broker does; in mode Full it sends the frame back.
package echo
