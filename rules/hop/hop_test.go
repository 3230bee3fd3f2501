package hop_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mcp401/capture/capturetest"
	"mcp401/decode/stack"
	"mcp401/rules/hop"
	"mcp401/rules/rulestest"
)

// What holds for every case of every conversation: an attempt is of one case
// only, and lies within it.
func TestInvariants(t *testing.T) {
	for _, c := range rulestest.Load(t, "../*/testdata/*.txtar") {
		owner := map[*hop.Attempt]*hop.Case{}
		rulestest.Cases(c.Plain(), c.Config, func(k *hop.Case) {
			frame := 0
			for _, a := range k.Attempts {
				if o := owner[a]; o != nil && a.Last.Frame > o.Call.Asked.Asked.Frame {
					t.Errorf("%s: an attempt of two cases", c.Name)
				}
				owner[a] = k
				if a.First.Frame < frame {
					t.Errorf("%s: attempts are not in order", c.Name)
				}
				frame = a.First.Frame
				if a.Outcome == "" || a.URL == "" || a.Confidence == hop.None || !a.Address.IsValid() && !k.HAR {
					t.Errorf("%s: %+v is not whole", c.Name, a)
				}
				if a.Address == k.Gateway {
					t.Errorf("%s: the gateway is its own upstream", c.Name)
				}
			}
			if len(k.Attempts) == 0 != (k.Confidence == hop.None) && len(k.Outcomes) == 0 {
				t.Errorf("%s: %d attempts with confidence %q", c.Name, len(k.Attempts), k.Confidence)
			}
		})
	}
}

// crowd writes a conversation of n clients at once, each with a request of its
// own, whose steps stand in random order. good says which upstream answers
// well; token what it gets.
func crowd(rng *rand.Rand, n int, path func(i int) string, token func(i int) string, forwarded bool, good func(i int) bool) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "c%d = 10.0.0.%d:%d > gateway\nu%d = 10.0.1.1:%d > 10.0.2.1:9101\n", i, 10+i, 40000+i, i, 50000+i)
	}
	steps := make([][]string, n)
	for i := range n {
		verdict := "swallowed-401"
		if good(i) {
			verdict = "listed"
		}
		auth := ""
		if forwarded {
			auth = "\n  Authorization: Bearer " + token(i)
		}
		steps[i] = append(steps[i], fmt.Sprintf("c%d> POST %s => %s\n  x-litellm-api-key: Bearer sk-key-%d%s\n  rpc tools/list 1", i, path(i), verdict, i, auth),
			fmt.Sprintf("u%d> POST /mcp\n  Authorization: Bearer %s\n  rpc initialize 0", i, token(i)))
		if good(i) {
			steps[i] = append(steps[i], fmt.Sprintf("u%d< 200 json\n  result init up", i),
				fmt.Sprintf("u%d> POST /mcp\n  Authorization: Bearer %s\n  rpc tools/list 1", i, token(i)), fmt.Sprintf("u%d< 200 json\n  result tools 3", i),
				fmt.Sprintf("u%d. close", i), fmt.Sprintf("c%d< 200 json\n  result tools 3", i))
		} else {
			steps[i] = append(steps[i], fmt.Sprintf("u%d< 401", i), fmt.Sprintf("u%d. close", i), fmt.Sprintf("c%d< 200 json\n  result tools 0", i))
		}
	}
	for left := n; left > 0; {
		i := rng.IntN(n)
		if len(steps[i]) == 0 {
			continue
		}
		b.WriteString(steps[i][0] + "\n")
		if steps[i] = steps[i][1:]; len(steps[i]) == 0 {
			left--
		}
	}
	return b.String()
}

// Under concurrency every call has its own answer: by its token, or, where the
// gateway stores one for all, by what the clients got.
func TestConcurrentClients(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		bad := make([]bool, 24)
		for i := range bad {
			bad[i] = rng.IntN(2) == 0
		}
		good := func(i int) bool { return !bad[i] }
		for name, script := range map[string]string{
			"own tokens":          crowd(rng, 24, func(int) string { return "/mcp/same" }, func(i int) string { return fmt.Sprint("token-", i) }, true, good),
			"a stored credential": crowd(rng, 24, func(int) string { return "/mcp/same" }, func(int) string { return "stored-token" }, false, good),
		} {
			w := capturetest.MustParse(script).Wrap(capturetest.Wrap{})
			got := map[int]rulestest.Verdict{}
			for _, v := range rulestest.Judge(w.Records, hop.Config{}) {
				got[v.Frame] = v
			}
			for _, e := range w.Expect {
				v, ok := got[e.Frame]
				if !ok || v.Rule.ID != e.Text {
					t.Errorf("seed %d, %s, %s: %s, want %s", seed, name, e.Conn, &v, e.Text)
				}
			}
			if len(got) != 24 {
				t.Errorf("seed %d, %s: %d cases", seed, name, len(got))
			}
		}
	}
}

// A call that waits for evidence is judged at the end, or after Hold.
func TestHold(t *testing.T) {
	records := capturetest.MustParse(`
down> POST /mcp
  rpc tools/list 1
down< 200 json
  result tools 0
~ 20s
down> GET /other
down< 200 json
  {}
`).Records()
	for hold, want := range map[time.Duration]int{5 * time.Second: 1, 0: 0, time.Minute: 0} {
		var l *hop.Linker
		n := 0
		l = hop.NewLinker(hop.Config{Hold: hold}, func(*hop.Case) { n++ })
		d := stack.New(stack.Config{}, func(e stack.Event) { l.Event(e) })
		for _, r := range records {
			d.Record(r)
			l.Tick(r.Time)
		}
		if n != want {
			t.Errorf("hold %s: %d cases before the end, want %d", hold, n, want)
		}
		d.Close()
		if l.Close(); n != 1 {
			t.Errorf("hold %s: %d cases, want 1", hold, n)
		}
	}
}
