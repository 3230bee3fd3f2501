package capture_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mcp401/capture"
)

// An oracle is what another reader says of a file of the corpus: tshark of a
// capture, a plain JSON reader of a HAR.
type oracle struct {
	File      string
	LinkTypes []string `json:"link_types"`
	Packets   int
	Creator   *string
	Entries   int
	HAR       []struct {
		Index       int
		Method, URL string
		Status      int
		HTTPVersion string  `json:"http_version"`
		MIME        string  `json:"mime"`
		Encoding    *string `json:"body_encoding"`
		Length      *int    `json:"body_length"`
	}
}

// shared finds a folder beside the project; without it the test is skipped.
func shared(t testing.TB, name string) string {
	for dir := "."; len(dir) < 40; dir = filepath.Join(dir, "..") {
		path := filepath.Join(dir, "shared", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skipf("no folder shared/%s beside the project", name)
	return ""
}

func oracles(t *testing.T, pattern string) map[string]oracle {
	dir := shared(t, "corpus")
	names, err := filepath.Glob(filepath.Join(dir, pattern+".oracle.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no oracles in %s: %v", dir, err)
	}
	all := map[string]oracle{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var o oracle
		if err := json.Unmarshal(b, &o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[filepath.Join(dir, o.File)] = o
	}
	return all
}

// TestCorpusPackets: as many packets, of the same link types, as tshark found.
func TestCorpusPackets(t *testing.T) {
	for path, o := range oracles(t, "*") {
		if strings.HasSuffix(path, ".har") {
			continue
		}
		t.Run(o.File, func(t *testing.T) {
			f, err := capture.Open([]string{path}, nil, capture.Options{})
			if err != nil {
				var e *capture.Error
				if !errors.As(err, &e) || o.Packets != 0 {
					t.Fatal(err)
				}
				return
			}
			defer f.Close()
			packets, links := 0, map[capture.LinkType]bool{}
			for {
				rec, err := f.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					if o.Packets == 0 {
						return
					}
					t.Fatal(err)
				}
				if rec.Packet == nil {
					continue
				}
				packets++
				links[rec.Packet.Link] = true
				if rec.Num != packets {
					t.Fatalf("packet %d has number %d", packets, rec.Num)
				}
			}
			if packets != o.Packets {
				t.Errorf("%d packets, tshark has %d; warnings %v", packets, o.Packets, f.Warnings())
			}
			var want []capture.LinkType
			for _, s := range o.LinkTypes {
				_, number, _ := strings.Cut(strings.TrimSuffix(s[strings.LastIndex(s, "("):], ")"), "(")
				n, err := strconv.Atoi(number)
				if err != nil {
					t.Fatalf("link type %q", s)
				}
				if n == 12 {
					n = 101
				}
				want = append(want, capture.LinkType(n))
			}
			for _, l := range want {
				if !links[l] && packets > 0 {
					t.Errorf("no packet of link type %d", l)
				}
				delete(links, l)
			}
			if len(links) > 0 {
				t.Errorf("link types %v, tshark has %v", links, want)
			}
		})
	}
}

// TestCorpusHAR: the same entries as a plain JSON reader found.
func TestCorpusHAR(t *testing.T) {
	for path, o := range oracles(t, "har-*") {
		t.Run(o.File, func(t *testing.T) {
			entries, err := readHAR(path)
			if o.Entries == 0 {
				var e *capture.Error
				if !errors.As(err, &e) {
					t.Fatalf("got %v, want a refusal", err)
				}
				t.Log(e, "|", e.Hint)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) != o.Entries {
				t.Fatalf("%d entries, want %d", len(entries), o.Entries)
			}
			slices.SortFunc(entries, func(a, b capture.Record) int { return a.Num - b.Num })
			for i, want := range o.HAR {
				got := entries[i].Entry
				status := max(want.Status, 0)
				if entries[i].Num != want.Index+1 || got.Method != want.Method || got.URL != want.URL || got.Status != status || got.MIME != want.MIME {
					t.Errorf("entry %d: %s %s %d %q, want %s %s %d %q", entries[i].Num, got.Method, got.URL, got.Status, got.MIME,
						want.Method, want.URL, want.Status, want.MIME)
				}
				length := 0
				if got.Content != nil {
					length = len(got.Content.Data)
				}
				if want.Length != nil && want.Encoding == nil && length == 0 && *want.Length != 0 {
					t.Errorf("entry %d: no body, want %d", entries[i].Num, *want.Length)
				}
			}
		})
	}
}

func readHAR(path string) ([]capture.Record, error) {
	f, err := capture.Open([]string{path}, nil, capture.Options{})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []capture.Record
	for {
		rec, err := f.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		if rec.Entry == nil {
			return list, errors.New("a record that is no entry")
		}
		list = append(list, rec)
	}
}

// TestRealHARs: nothing of the browsers' files is lost or odd.
func TestRealHARs(t *testing.T) {
	names, _ := filepath.Glob(filepath.Join(shared(t, "har"), "*.har"))
	for _, path := range names {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var doc struct {
				Log struct {
					Creator struct{ Name string }
					Entries []struct {
						Request  struct{ Method string }
						Response struct {
							Content struct{ Text *string }
						}
					}
				}
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &doc); err != nil {
				t.Fatal(err)
			}
			f, err := capture.Open([]string{path}, nil, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			n, last := 0, capture.Record{}
			for {
				rec, err := f.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				n++
				if rec.Time.Before(last.Time) {
					t.Errorf("entry %d comes after %d, which is later", rec.Num, last.Num)
				}
				last = rec
				want := doc.Log.Entries[rec.Num-1]
				if rec.Entry.Method != want.Request.Method || rec.Entry.Creator != doc.Log.Creator.Name {
					t.Errorf("entry %d: %s by %s", rec.Num, rec.Entry.Method, rec.Entry.Creator)
				}
				if text := want.Response.Content.Text; text != nil && *text != "" && rec.Entry.Content == nil {
					t.Errorf("entry %d: the body is missing", rec.Num)
				} else if text == nil && rec.Entry.Content != nil {
					t.Errorf("entry %d: a body that was not recorded", rec.Num)
				}
			}
			if n != len(doc.Log.Entries) {
				t.Errorf("%d entries, want %d", n, len(doc.Log.Entries))
			}
			if w := f.Warnings(); len(w) > 0 {
				t.Errorf("warnings: %v", w)
			}
		})
	}
}
