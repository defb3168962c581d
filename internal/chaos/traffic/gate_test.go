package traffic

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestAShutGateBreaksConnectionsAndRefusesNewOnes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	addr, g := l.Addr().String(), NewGate()
	echo := func(c net.Conn) error {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	before, err := g.Dial(t.Context(), "tcp", addr)
	if err != nil || echo(before) != nil {
		t.Fatal(err)
	}
	g.Shut("127.0.0.1:1") // another address
	if err := echo(before); err != nil {
		t.Fatal(err)
	}
	g.Shut(addr)
	if echo(before) == nil {
		t.Error("a connection outlived the gate")
	}
	if _, err := g.Dial(t.Context(), "tcp", addr); err == nil {
		t.Error("a shut gate let a connection through")
	}
	g.Open(addr)
	after, err := g.Dial(t.Context(), "tcp", addr)
	if err != nil || echo(after) != nil {
		t.Errorf("an open gate lets nothing through: %v", err)
	}
	if err := after.Close(); err != nil {
		t.Error(err)
	}
}
