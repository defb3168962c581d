package e2e

import (
	"bytes"
	enc "encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	sluice "github.com/sluicemq/sluice/sdk/go"
)

// Records of many sizes survive a round trip through a broker, whether the kernel coalesces datagrams
// at the broker, at the client, at both or at neither. The broker's metrics show its own side.
func TestRecordsOverCoalescedDatagrams(t *testing.T) {
	for _, broker := range []bool{true, false} {
		dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
		b := role(t, "broker", fmt.Sprintf("[broker]\ndata_directory = %q\n[network]\nquic_listen = %q\ntcp_listen = %q\n"+
			"quic_receive_offload = %t\n[admin]\nlisten = %q\n", dir, addr, addr, broker, admin), admin)
		b.dir, b.addr = dir, addr
		for _, client := range []bool{true, false} {
			topic := fmt.Sprintf("client-%t", client)
			b.createTopic(topic, 3)
			there(t, sluice.Config{Brokers: []string{addr}, DataDirectory: dir, DisableReceiveOffload: !client}, topic)
		}
		coalesced, dropped := b.metric("sluice_quic_coalesced_total"), b.metric("sluice_quic_dropped_datagrams_total")
		if want := broker && runtime.GOOS == "linux"; coalesced > 0 != want || dropped > 0 {
			t.Errorf("offload %t: %v messages of several datagrams, %v dropped", broker, coalesced, dropped)
		}
		if n := b.metric("sluice_quic_datagrams_total"); n < 5_000 {
			t.Errorf("offload %t: %v datagrams are counted for 16 MB", broker, n)
		}
	}
}

// there produces 8 MiB in records of random sizes and reads them back.
func there(t *testing.T, cfg sluice.Config, topic string) {
	t.Helper()
	ctx := deadline(t)
	p, err := sluice.NewProducer(cfg, sluice.DefaultProducerConfig())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1<<16)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise) // never fails
	var want [][]byte
	for bytes := 0; bytes < 8<<20; {
		value := make([]byte, 8+random.IntN(1<<uint(random.IntN(16))))
		enc.BigEndian.PutUint64(value, uint64(len(want)))
		copy(value[8:], noise)
		want, bytes = append(want, value), bytes+len(value)
		p.Produce(ctx, &sluice.Record{Topic: topic, Value: value}, func(_ *sluice.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	cc := sluice.DefaultConsumerConfig()
	cc.Partitions = map[string][]int32{topic: {0, 1, 2}}
	c, err := sluice.NewConsumer(cfg, cc)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for r, err := range c.Records(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if i := enc.BigEndian.Uint64(r.Value); i >= uint64(len(want)) || want[i] == nil || !bytes.Equal(r.Value, want[i]) {
			t.Fatalf("record %d came as %d bytes, or twice", i, len(r.Value))
		} else {
			want[i] = nil
		}
		if seen++; seen == len(want) {
			break
		}
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}
