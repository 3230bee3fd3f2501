package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode"
)

// A fault is an error that a client is told.
type fault struct {
	status     int
	text, hint string
}

func (f *fault) Error() string { return f.text }

// told is an error as JSON.
type told struct {
	Text string `json:"text"`
	Hint string `json:"hint"`
}

// fail answers with a fault.
func fail(w http.ResponseWriter, f *fault) {
	if f.status == http.StatusTooManyRequests || f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	answer(w, f.status, struct {
		Error told `json:"error"`
	}{told{f.text, f.hint}})
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("internal error: an answer that is no JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // whoever is gone needs no answer
}

// Bounds of a name from outside.
const nameLength = 200

// shownName makes of a file's name something to show: its last part, on one
// line, of bounded length. It is never used to open anything.
func shownName(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '\uFFFD'
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > nameLength {
		name = string(runes[:nameLength]) + "…"
	}
	if name == "" || name == "." || name == ".." {
		return "unnamed"
	}
	return name
}
