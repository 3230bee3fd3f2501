package cause_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mcp401/rules/cause"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
	"mcp401/rules/rulestest"
)

// start is when the first step of a conversation happens.
var start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

var jwtExpr = regexp.MustCompile(`jwt\(([^)]*)\)`)

// signed writes out jwt(exp=-1h aud=http://a,http://b): a token with these
// claims, times relative to the start.
func signed(text []byte) []byte {
	return jwtExpr.ReplaceAllFunc(text, func(m []byte) []byte {
		claims := map[string]any{}
		for _, w := range strings.Fields(string(jwtExpr.FindSubmatch(m)[1])) {
			k, v, _ := strings.Cut(w, "=")
			if d, err := time.ParseDuration(v); err == nil {
				claims[k] = start.Add(d).Unix()
			} else if k == "aud" && strings.Contains(v, ",") {
				claims[k] = strings.Split(v, ",")
			} else {
				claims[k] = v
			}
		}
		part := func(v any) string {
			b, _ := json.Marshal(v)
			return base64.RawURLEncoding.EncodeToString(b)
		}
		return []byte(part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + part(claims) + "." + part("signature"))
	})
}

// Each cause has a file with conversations in which it fits, and look-alikes
// in which another fits.
func TestOf(t *testing.T) {
	for _, e := range cause.Causes {
		file := filepath.Join("testdata", string(e.ID)+".txtar")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		cs, err := rulestest.Parse(signed(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		fits, other := 0, 0
		for _, c := range cs {
			if strings.Contains(c.Script, " "+string(e.ID)) {
				fits++
			} else {
				other++
			}
			t.Run(string(e.ID)+"/"+c.Name, c.Test)
		}
		if fits == 0 || other == 0 {
			t.Errorf("%s: %d conversations with the cause, %d look-alikes; want one of each", file, fits, other)
		}
	}
}

// What was not refused has no cause, nor what only a connection shows.
func TestOfNothing(t *testing.T) {
	c := &hop.Case{}
	for _, a := range []*hop.Attempt{
		{Outcome: hop.OK},
		{Outcome: hop.Status401},
		{Outcome: hop.Refused},
		{Outcome: hop.Server5xx, Decisive: &pair.Call{}},
	} {
		if id := cause.Of(c, a); id != cause.None {
			t.Errorf("%s: %s", a.Outcome, id)
		}
	}
}
