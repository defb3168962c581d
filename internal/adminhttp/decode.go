package adminhttp

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// Decode reads the body of a request, one JSON document without keys that into lacks.
func Decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON document")
	}
	return nil
}
