package adminhttp

import (
	"bufio"
	"encoding/json"
	"io"
	"iter"
	"net/http"
)

// Rows answers with a JSON document that holds a list: head, the rows with commas between them, and
// tail. Each row is made when the ones before it are on their way, so that an answer takes the memory
// of its buffer, however many rows it has.
func Rows[T any](w http.ResponseWriter, head, tail string, rows iter.Seq[T]) {
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, pieceBytes)
	err := write(out, head, tail, rows)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client must not take half of it for the whole
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
