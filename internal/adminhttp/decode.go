package adminhttp

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// Decode decodes the body of a request, which must be one JSON document without unknown keys.
func Decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("unexpected data after the JSON document")
	}
	return nil
}
