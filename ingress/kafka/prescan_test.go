package kafka

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// populate sets every exported field of v, with arrays of up to three elements.
func populate(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64N(100))
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.String:
		v.SetString(strings.Repeat("s", r.IntN(200)))
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			populate(r, v.Elem())
		}
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(r.IntN(256)))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(make([]byte, r.IntN(300)))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		for i := range v.Len() {
			populate(r, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "UnknownTags" && name != "Version" && v.Field(i).CanSet() {
				populate(r, v.Field(i))
			}
		}
	}
}

// highestServed returns the highest served version of each request.
func highestServed() map[int16]int16 {
	out := map[int16]int16{kmsg.ApiVersions.Int16(): apiVersionsMax}
	h := &Handlers{cfg: DefaultAPIConfig()}
	for _, a := range h.Table() {
		out[a.Key] = a.Max
	}
	return out
}

// Every schema agrees to the last byte with the encoder, for every version of its request.
func TestSchemasFollowTheProtocol(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for key, highest := range highestServed() {
		for version := int16(0); version <= highest; version++ {
			for range 30 {
				req := kmsg.RequestForKey(key)
				req.SetVersion(version)
				populate(r, reflect.ValueOf(req).Elem())
				body := req.AppendTo(nil)
				s := schemas[key]
				w := walker{rest: body, version: version, flexible: version >= s.flexible}
				w.structure(s.fields)
				if w.bad || len(w.rest) > 0 {
					t.Fatalf("%s version %d: bad %v, %d of %d bytes left", kmsg.NameForKey(key), version, w.bad, len(w.rest), len(body))
				}
				if len(body) > 0 && key != kmsg.ApiVersions.Int16() {
					if _, err := prescan(key, version, body[:r.IntN(len(body))]); err == nil {
						t.Fatalf("%s version %d: a truncated request passed", kmsg.NameForKey(key), version)
					}
				}
			}
		}
	}
}

// untrue are requests that claim more than they contain, each with numbers small enough to be
// harmless to the decoder: prescan refuses a false claim whatever its size.
var untrue = []struct {
	name         string
	key, version int16
	body         []byte
}{
	{"a tag count without tags", 18, 3, []byte{1, 1, 3}},
	{"an array count without elements", 0, 8, append(make([]byte, 6), binary.BigEndian.AppendUint32(nil, 2)...)},
	{"a negative count", 3, 1, []byte{0xff, 0xff, 0xff, 0xfe}},
	{"a compact count beyond the frame", 3, 9, []byte{5}},
	{"an overlong varint", 3, 9, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
	{"nothing", 0, 9, nil},
}

func TestUntrueRequestsAreRefused(t *testing.T) {
	for _, c := range untrue {
		if _, err := prescan(c.key, c.version, c.body); err == nil {
			t.Errorf("%s passed", c.name)
		}
	}
}

// A request that passes prescan is decoded or refused in time and memory bounded by its size.
func FuzzRequest(f *testing.F) {
	for _, c := range untrue {
		f.Add(c.key, c.version, c.body)
	}
	highest := highestServed()
	r := rand.New(rand.NewPCG(3, 4))
	for key, version := range highest {
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		populate(r, reflect.ValueOf(req).Elem())
		f.Add(key, version, req.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if limit, ok := highest[key]; !ok || version < 0 || version > limit {
			return
		}
		if _, err := prescan(key, version, body); err != nil {
			return
		}
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		_ = req.ReadFrom(body) // null in a non-nullable string is for the decoder to refuse
		runtime.ReadMemStats(&after)
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("%d bytes took %s", len(body), took)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10+uint64(len(body))*256 {
			t.Fatalf("%d bytes took %d bytes of memory", len(body), grown)
		}
	})
}
