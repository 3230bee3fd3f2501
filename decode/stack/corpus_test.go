package stack_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"mcp401/capture"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
)

var update = flag.Bool("update", false, "write testdata/corpus.txt")

// corpus is other people's captures, each with what tshark finds in it. It is
// not part of the project.
const corpus = "../../../shared/corpus"

// oracle is what tshark finds in a capture.
type oracle struct {
	File   string    `json:"file"`
	HTTP1  []message `json:"http1"`
	HTTP2  []message `json:"http2"`
	Notes  []string  `json:"notes"`
	Stream int       `json:"-"`
}

type message struct {
	Src    string  `json:"src"`
	Dst    string  `json:"dst"`
	Frame  int     `json:"frame"`
	Kind   string  `json:"kind"`
	Method *string `json:"method"`
	URI    *string `json:"uri"`
	Path   *string `json:"path"`
	Status *int    `json:"status"`
	Stream uint32  `json:"h2_stream"`
}

// reasons is why we differ from tshark, for each capture where we do. Who is
// right stands first: ours, both (a matter of policy), or theirs (a limit).
var reasons = map[string]string{
	"h1-bad-request-version": "both: tshark takes a status line that answers what is no request",
	"h1-chunk-overflow":      "ours: what follows the overflowing chunk is a message of its own",
	"h1-connect-smtp":        "both: tshark ends the target at the first blank",
	"h1-nonint-status":       "both: a status that is no number is none",
	"h1-te-obs-fold":         "both: smuggling material, two readings",
	"h2-doh":                 "ours: the client had reset the stream before the answer",
	"h2-grpc-web":            "ours: tshark misses the streams of one connection",
	"h2-nghttp2":             "ours: tshark shows no head for the first request",
	"link-mpls-vlan":         "both: a text with a prefix of a load balancer, not HTTP from its first byte",
	"ng-two-interfaces":      "theirs: a status line whose head the snap length cut off",
	"socks5-http-302":        "theirs: SOCKS is not followed",
	"tcp-http-padding":       "ours: a request in the segment that tshark takes for padding",
	"tcp-urgent":             "both: the urgent byte is left in the stream",
	"tun-teredo":             "theirs: Teredo on another port than its own",
}

// TestCorpus compares each capture of the corpus with the oracle beside it, by
// the longest common subsequence of the requests and of the responses of each
// connection, and of each stream of HTTP/2. At least 99 of 100 messages agree,
// and every capture that differs has a reason.
func TestCorpus(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(corpus, "*.oracle.json"))
	if len(files) == 0 {
		t.Skip("the corpus of captures is not here: " + corpus)
	}
	var table strings.Builder
	agree, total := 0, 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".oracle.json")
		var want oracle
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &want)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(want.File, ".har") {
			continue
		}
		got := readCorpus(t, name, want.File)
		row := [4][3]int{}
		for i, list := range [][2][]message{{want.HTTP1, got.HTTP1}, {want.HTTP2, got.HTTP2}} {
			for j, kind := range []string{"request", "response"} {
				a, n, m := compare(list[0], list[1], kind)
				row[2*i+j] = [3]int{a, n, m}
				agree += a
				total += n
			}
		}
		differs := false
		for _, r := range row {
			differs = differs || r[0] != r[1] || r[0] != r[2]
		}
		if differs {
			if reasons[name] == "" {
				t.Errorf("%s: agree/oracle/ours of requests and responses, HTTP/1 and HTTP/2: %v, and no reason is given", name, row)
			}
			fmt.Fprintf(&table, "%-24s %v  %s\n", name, row, reasons[name])
		} else if reasons[name] != "" {
			t.Errorf("%s agrees, its reason is stale", name)
		}
	}
	fmt.Fprintf(&table, "%d of %d messages agree\n", agree, total)
	if agree*100 < total*99 {
		t.Errorf("%d of %d messages agree, fewer than 99 of 100", agree, total)
	}
	const golden = "testdata/corpus.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(was) != table.String() {
		t.Errorf("the differences are now (go test ./decode/stack -update writes them):\n%s", table.String())
	}
}

// readCorpus lists the messages of one capture, within bounds of time and
// memory that no capture of that size should come near.
func readCorpus(t *testing.T, name, file string) oracle {
	t.Helper()
	var got oracle
	f, err := capture.Open([]string{filepath.Join(corpus, file)}, nil, capture.Options{})
	if err != nil {
		return got // not a capture, and said so
	}
	defer f.Close()
	began := time.Now()
	d := stack.New(stack.Config{Messages: true}, func(e stack.Event) {
		m := e.Message
		if m == nil {
			return
		}
		v := message{Src: m.Src.String(), Dst: m.Dst.String(), Frame: m.EndFrame, Kind: "response", Status: &m.Status, Stream: m.Stream}
		if m.Request {
			v.Kind, v.Method, v.URI, v.Status = "request", &m.Method, &m.URI, nil
		}
		if m.Proto == "2" {
			got.HTTP2 = append(got.HTTP2, v)
		} else {
			got.HTTP1 = append(got.HTTP1, v)
		}
	})
	if keys, err := os.ReadFile(filepath.Join(corpus, name+".keys")); err == nil {
		d.Record(capture.Record{Secret: &capture.Secret{Lines: keys}})
	}
	for {
		r, err := f.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Logf("%s: %v", name, err)
			}
			break
		}
		d.Record(r)
	}
	d.Close()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%s took %v", name, took)
	}
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc > 256<<20 {
		t.Errorf("%s: a heap of %d MB", name, m.HeapAlloc>>20)
	}
	return got
}

// compare counts the messages of one kind that agree, and those of either
// side.
func compare(want, got []message, kind string) (agree, inWant, inGot int) {
	a, b := group(want, kind), group(got, kind)
	for k, w := range a {
		agree += common(w, b[k])
		inWant += len(w)
	}
	for _, g := range b {
		inGot += len(g)
	}
	return agree, inWant, inGot
}

// group lists what is compared of the messages of each connection and stream.
func group(list []message, kind string) map[string][]string {
	list = slices.Clone(list)
	sort.SliceStable(list, func(i, j int) bool { return list[i].Frame < list[j].Frame })
	out := map[string][]string{}
	for _, m := range list {
		if m.Kind != kind && !(kind == "request" && m.Kind == "push_request") {
			continue
		}
		ends := []string{endpoint(m.Src), endpoint(m.Dst)}
		slices.Sort(ends)
		key := fmt.Sprint(ends, m.Stream)
		text := ""
		if kind == "response" {
			if m.Status != nil {
				text = fmt.Sprint(*m.Status)
			}
		} else {
			uri := m.URI
			if uri == nil {
				uri = m.Path
			}
			if m.Method != nil && uri != nil {
				text = strings.ToUpper(*m.Method) + " " + mcp.Redact(*uri)
			}
		}
		out[key] = append(out[key], text)
	}
	return out
}

func endpoint(s string) string {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
	}
	return s
}

// common is the length of the longest common subsequence.
func common(a, b []string) int {
	row := make([]int, len(b)+1)
	for i := range a {
		diagonal := 0
		for j := range b {
			above := row[j+1]
			if a[i] == b[j] {
				row[j+1] = diagonal + 1
			} else {
				row[j+1] = max(row[j+1], row[j])
			}
			diagonal = above
		}
	}
	return row[len(b)]
}
