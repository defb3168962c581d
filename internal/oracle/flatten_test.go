//go:build oracle

package oracle

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// anyPrefix begins the names of everything that scenarios make.
const anyPrefix = "oracle-"

// aliases replaces values that inherently differ between two brokers. Ids are numbered in order
// of first appearance in the play.
type aliases struct {
	prefix  string // of the play's topic and group names
	port    int32
	cluster string
	ids     map[string]string
	kinds   map[string]int
}

// nobody is the name of a member or topic that does not exist.
const nobody = "nobody"

// idOf prefixes the alias of a topic's id, so that versions that use names and versions that use
// ids yield the same paths.
const idOf = "id of "

// topic sets the alias for the id of a topic.
func (a *aliases) topic(name string, id [16]byte) { a.ids["id"+string(id[:])] = idOf + name }

// pair learns a topic's id from a struct that has both name and id.
func (a *aliases) pair(v reflect.Value) {
	name, id := v.FieldByName("Topic"), v.FieldByName("TopicID")
	if !name.IsValid() || !id.IsValid() || id.IsZero() {
		return
	}
	if name.Kind() == reflect.Pointer {
		name = name.Elem()
	}
	uuid := id.Interface().([16]byte)
	if _, known := a.ids["id"+string(uuid[:])]; known || !name.IsValid() || name.String() == "" {
		return
	}
	alias := a.words(name.String())
	if a.kinds == nil {
		a.kinds = map[string]int{}
	}
	a.kinds[alias]++
	if n := a.kinds[alias]; n > 1 { // the topic was recreated
		alias += fmt.Sprintf(" (%d)", n)
	}
	a.topic(alias, uuid)
}

func (a *aliases) id(kind, value string) string {
	if known, ok := a.ids[kind+value]; ok {
		return known
	}
	if a.kinds == nil {
		a.kinds = map[string]int{}
	}
	a.kinds[kind]++
	a.ids[kind+value] = fmt.Sprintf("%s-%d", kind, a.kinds[kind])
	return a.ids[kind+value]
}

// flatten converts a response to a map from path to value.
func (a *aliases) flatten(resp kmsg.Response) map[string]string {
	leaves := map[string]string{"answer": "answered"}
	a.walk(leaves, "", "", reflect.ValueOf(resp).Elem())
	return leaves
}

// keys are the fields that identify a struct in an array, in order of preference.
var keys = []string{"Topic", "Name", "ResourceName", "Group", "GroupID", "Partition", "ApiKey", "MemberID", "Key", "NodeID", "BrokerID", "Dir",
	"TopicID", "Feature", "ConfigName", "TransactionalID", "User", "FirstOffset", "OffsetDelta"}

// sent maps fields with broker-generated ids to the kind of id.
var sent = map[string]string{"MemberID": "member", "LeaderID": "member", "SessionID": "session", "ProducerID": "producer"}

func (a *aliases) walk(leaves map[string]string, path, field string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			leaves[path] = "null"
			return
		}
		a.walk(leaves, path, field, v.Elem())
	case reflect.Struct:
		a.pair(v)
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Name == "Version" || f.Name == "UnknownTags" || f.Name == "ThrottleMillis" {
				continue
			}
			a.walk(leaves, strings.TrimPrefix(path+"."+f.Name, "."), f.Name, v.Field(i))
		}
	case reflect.Slice:
		a.slice(leaves, path, field, v)
	default:
		a.leaf(leaves, path, field, v)
	}
}

func (a *aliases) slice(leaves map[string]string, path, field string, v reflect.Value) {
	if v.IsNil() {
		leaves[path] = "null"
		return
	}
	if b, ok := v.Interface().([]byte); ok {
		if strings.HasSuffix(field, "RecordBatches") {
			a.batches(leaves, path, b)
		} else {
			leaves[path] = strings.ReplaceAll(hex.EncodeToString(b), hex.EncodeToString([]byte(a.prefix)), "")
		}
		return
	}
	leaves[path] = "array"
	shown := v.Len() == 0
	times := map[string]int{}
	for i := range v.Len() {
		e := v.Index(i)
		key, ok := a.key(e)
		if !ok {
			key = strconv.Itoa(i)
		}
		if strings.HasPrefix(key, anyPrefix) {
			continue // belongs to another play
		}
		shown = true
		times[key]++
		if n := times[key]; n > 1 {
			key += "#" + strconv.Itoa(n)
		}
		at := path + "[" + key + "]"
		leaves[at] = "present"
		a.walk(leaves, at, field, e)
	}
	if !shown {
		leaves[path] = "null"
	}
}

// key returns the name that identifies e in an array, and whether it has one.
func (a *aliases) key(e reflect.Value) (string, bool) {
	if e.Kind() != reflect.Struct {
		return "", false
	}
	for _, name := range keys {
		f := e.FieldByName(name)
		if !f.IsValid() || f.Kind() == reflect.Pointer && f.IsNil() || f.IsZero() && name != "Partition" && name != "ApiKey" {
			continue
		}
		one := map[string]string{}
		a.walk(one, "", name, f)
		return strings.TrimPrefix(one[""], idOf), true
	}
	for _, name := range keys { // an empty name also counts
		if f := e.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
			return "", true
		}
	}
	return "", false
}

func (a *aliases) leaf(leaves map[string]string, path, field string, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if field == "Dir" {
			s = a.id("dir", s)
		}
		if kind := sent[field]; kind != "" && s != "" && s != nobody {
			s = a.id(kind, s)
		}
		if strings.HasSuffix(field, "ErrorMessage") || field == "Documentation" {
			if s != "" {
				leaves[path+".text"] = a.words(s)
				s = "text"
			}
		}
		leaves[path] = a.words(s)
	case reflect.Array: // a UUID
		id := v.Interface().([16]byte)
		leaves[path] = "0"
		if id != [16]byte{} {
			leaves[path] = a.id("id", string(id[:]))
		}
	case reflect.Bool, reflect.Float64, reflect.Uint16, reflect.Uint32, reflect.Uint8:
		leaves[path] = fmt.Sprint(v.Interface())
	default:
		leaves[path] = a.number(field, v)
	}
}

func (a *aliases) number(field string, v reflect.Value) string {
	n := v.Int()
	switch {
	case strings.HasSuffix(field, "ErrorCode"):
		return errorName(int16(n))
	case field == "FinalizedFeaturesEpoch" && n >= 0:
		return "an epoch"
	case (field == "TotalBytes" || field == "UsableBytes") && n > 0:
		return "so many"
	case field == "ApiKey":
		return kmsg.NameForKey(int16(n))
	case field == "Port" && n == int64(a.port):
		return "own"
	case field == "ProducerID" && n >= 0, field == "SessionID" && n > 0:
		return a.id(sent[field], strconv.FormatInt(n, 10))
	case v.Kind() == reflect.Int64 && n > 1e12 && time.Since(time.UnixMilli(n)).Abs() < time.Hour:
		return "now"
	}
	return fmt.Sprint(v.Interface())
}

func (a *aliases) words(s string) string {
	if a.cluster != "" {
		s = strings.ReplaceAll(s, a.cluster, "own")
	}
	return strings.ReplaceAll(s, a.prefix, "")
}

func errorName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if e := kerr.TypedErrorForCode(code); e != nil && e.Code == code {
		return e.Message
	}
	return strconv.Itoa(int(code))
}
