package node

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/sluicemq/sluice/internal/adminhttp"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/object"
)

// objectPart is a reference from the metadata to a part of an object, for GET /objects: records
// of one partition, or a snapshot of its idempotent producers.
type objectPart struct {
	Object    string `json:"object"`
	Key       string `json:"key"`
	Topic     string `json:"topic"`
	TopicID   string `json:"topic_id"`
	Partition int    `json:"partition"`
	Producers bool   `json:"producers,omitempty"`
	At        int64  `json:"at,omitempty"` // of the snapshot, bytes from the start of the object
	span
}

// objectParts yields the parts of objects that can still be read, by partition and offset.
func objectParts(v *meta.View) iter.Seq[objectPart] {
	return func(yield func(objectPart) bool) {
		for _, t := range v.Topics() {
			for i, m := range t.Partitions {
				for _, o := range m.Objects {
					if o.End > m.LogStart && !yield(objectPart{Object: o.ID.String(), Key: object.Key(o.ID), Topic: t.Name, TopicID: t.ID.String(), Partition: i,
						span: span{max(o.Base, m.LogStart), o.End}}) {
						return
					}
				}
				for _, x := range m.Producers.Sections {
					if !yield(objectPart{Object: x.Object.String(), Key: object.Key(x.Object), Topic: t.Name, TopicID: t.ID.String(), Partition: i,
						Producers: true, At: x.Offset, span: span{0, x.End}}) {
						return
					}
				}
			}
		}
	}
}

func (a *admin) objects(w http.ResponseWriter, _ *http.Request) {
	adminhttp.Rows(w, "[", "]\n", objectParts(a.view()))
}

// loss is the body of POST /objects/give-up.
type loss struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	span
}

// giveUpTime limits how long giving up a range may take: its objects are read and written.
const giveUpTime = 30 * time.Minute

func (a *admin) giveUp(w http.ResponseWriter, r *http.Request) {
	var l loss
	if err := adminhttp.Decode(r, &l); err != nil {
		adminhttp.Error(w, http.StatusBadRequest, "body must be like {\"topic\":\"orders\",\"partition\":0,\"base_offset\":10,\"end_offset\":20}: "+err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), giveUpTime)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(giveUpTime)) // the writer is net/http's
	gaps, err := a.lose(ctx, l.Topic, l.Partition, l.span)
	if err != nil {
		adminhttp.Error(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	reply(w, gaps)
}
