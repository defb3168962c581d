package adminhttp

import (
	"bufio"
	"encoding/json"
	"io"
	"iter"
	"net/http"
)

// Rows responds with a JSON document that contains a list: head, the rows separated by commas, and
// tail. Rows are generated as the response is written, so its memory use is one buffer, however many
// rows there are.
func Rows[T any](w http.ResponseWriter, head, tail string, rows iter.Seq[T]) {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, pieceBytes)
	err := write(out, head, tail, rows)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		panic(http.ErrAbortHandler) // so that the client does not take a part for the whole
	}
}

func write[T any](out *bufio.Writer, head, tail string, rows iter.Seq[T]) error {
	if _, err := io.WriteString(out, head); err != nil {
		return err
	}
	between := ""
	for row := range rows {
		b, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if _, err := out.WriteString(between); err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
		between = ",\n"
	}
	_, err := out.WriteString(tail)
	return err
}
