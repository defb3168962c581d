package adminhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// meter is a client that tracks how many rows were produced between writes.
type meter struct {
	*httptest.ResponseRecorder
	made  *int
	sent  int
	most  int // maximum number of rows produced but not sent
	fails bool
}

func (m *meter) Write(b []byte) (int, error) {
	if m.fails {
		return 0, errors.New("gone")
	}
	m.most = max(m.most, *m.made-m.sent)
	m.sent = *m.made
	return m.ResponseRecorder.Write(b)
}

type numbered struct {
	N    int    `json:"n"`
	Text string `json:"text"`
}

// A list is sent while it is being produced. If a write fails, production stops and the
// response is aborted.
func TestRowsAreSentWhileTheyAreMade(t *testing.T) {
	for _, n := range []int{0, 1, 2, 20_000} {
		made := 0
		rows := func(yield func(numbered) bool) {
			for i := range n {
				made++
				if !yield(numbered{i, strings.Repeat("x", 90)}) {
					return
				}
			}
		}
		m := &meter{ResponseRecorder: httptest.NewRecorder(), made: &made}
		Rows(m, `{"of":"all","rows":[`, "]}\n", rows)
		var got struct {
			Of   string     `json:"of"`
			Rows []numbered `json:"rows"`
		}
		if err := json.Unmarshal(m.Body.Bytes(), &got); err != nil || got.Of != "all" || len(got.Rows) != n || got.Rows == nil {
			t.Fatalf("%d rows: %v, %d came", n, err, len(got.Rows))
		}
		for i, r := range got.Rows {
			if r.N != i {
				t.Fatalf("row %d is %d", i, r.N)
			}
		}
		if m.most > 2*pieceBytes/90 {
			t.Errorf("of %d rows %d were made before anything was sent", n, m.most)
		}
	}
	made, limit := 0, 1_000_000
	endless := func(yield func(numbered) bool) {
		for made = 0; made < limit && yield(numbered{made, "x"}); made++ {
		}
	}
	func() {
		defer func() {
			if v := recover(); fmt.Sprint(v) != http.ErrAbortHandler.Error() {
				t.Errorf("a client that has gone: %v", v)
			}
		}()
		Rows(&meter{ResponseRecorder: httptest.NewRecorder(), made: new(int), fails: true}, "[", "]", endless)
	}()
	if made == limit {
		t.Error("all rows were made for a client that has gone")
	}
}
