package mcp

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

func jwt(head, body string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(head)) + "." + enc([]byte(body)) + ".c2lnbmF0dXJl"
}

func cred(name, value string) Credential {
	h := newHasher(nil)
	return h.credential(name, value)
}

func TestCredentialShapes(t *testing.T) {
	for _, c := range []struct {
		name, value string
		scheme      string
		n           int
		class       string
		flaws       Flaw
	}{
		{"authorization", "Bearer abc", "bearer", 3, "opaque", 0},
		{"authorization", "  bEARER   abc  ", "bearer", 3, "opaque", 0},
		{"authorization", "Bearer Bearer abc", "bearer", 3, "opaque", Doubled},
		{"authorization", "Bearer bearer bearer abc", "bearer", 3, "opaque", Doubled},
		{"authorization", "Bearer", "bearer", 0, "opaque", EmptyTok},
		{"authorization", "Bearer Bearer", "bearer", 0, "opaque", EmptyTok | Doubled},
		{"authorization", "", "", 0, "opaque", EmptyTok | NoScheme},
		{"authorization", "abc", "", 3, "opaque", NoScheme},
		{"authorization", "sk-abc", "", 6, "sk-", NoScheme},
		{"authorization", "token gho_abc", "token", 7, "gho_", 0},
		{"authorization", "Custom x", "custom", 1, "opaque", 0},
		{"authorization", `"Bearer abc"`, "bearer", 3, "opaque", Quoted},
		{"authorization", `Bearer "abc"`, "bearer", 3, "opaque", Quoted},
		{"authorization", "Bearer ab\xc3\xa9", "bearer", 4, "opaque", NonASCII},
		{"authorization", "Bearer a b", "bearer", 3, "opaque", NonASCII},
		{"authorization", `Digest username="a", realm="b"`, "digest", 23, "opaque", 0},
		{"authorization", "Bearer ${TOKEN}", "bearer", 8, "opaque", Templated},
		{"authorization", "Bearer {{token}}", "bearer", 9, "opaque", Templated},
		{"authorization", "Bearer <token>", "bearer", 7, "opaque", Templated},
		{"authorization", "Bearer $GITHUB_TOKEN", "bearer", 13, "opaque", Templated},
		{"authorization", "Bearer $2a$abc", "bearer", 7, "opaque", 0},
		{"authorization", "Bearer os.environ/TOKEN", "bearer", 16, "opaque", Templated},
		{"proxy-authorization", "Basic dTpw", "basic", 4, "opaque", 0},
		{"x-litellm-api-key", "Bearer sk-1", "bearer", 4, "sk-", 0},
		{"x-litellm-api-key", "sk-1", "", 4, "sk-", 0},
		{"x-api-key", "two words", "", 9, "opaque", NonASCII},
		{"x-mcp-github-authorization", "Bearer x", "bearer", 1, "opaque", 0},
		{"cookie", "a=b; c=d", "", 8, "opaque", 0},
		{"authorization", "Bearer " + jwt(`{"alg":"none"}`, `{}`), "bearer", 36, "jwt", 0},
		{"authorization", "Bearer eyJhIjoxfQ.a.b.c.d", "bearer", 18, "jwe", 0},
		{"authorization", "Bearer 1.2.3", "bearer", 5, "opaque", 0},
		{"authorization", "Bearer a.b.c.d.e", "bearer", 9, "opaque", 0},
	} {
		got := cred(c.name, c.value)
		if got.Scheme != c.scheme || got.Len != c.n || got.Class != c.class || got.Flaws != c.flaws || got.Header != c.name {
			t.Errorf("%s: %q\n got %s\nwant %q %d %s flaws %b", c.name, c.value, credential(got), c.scheme, c.n, c.class, c.flaws)
		}
	}
}

func TestEqualTokensHaveEqualHashes(t *testing.T) {
	one := cred("authorization", "Bearer sk-abc").Hash
	for _, c := range [][2]string{
		{"x-litellm-api-key", "Bearer sk-abc"}, {"x-litellm-api-key", "sk-abc"}, {"authorization", "bearer sk-abc"}, {"authorization", "sk-abc"},
		{"authorization", "Bearer Bearer sk-abc"}, {"authorization", `Bearer "sk-abc"`}, {"x-mcp-a-authorization", "BEARER sk-abc"}, {"x-api-key", "sk-abc"},
	} {
		if got := cred(c[0], c[1]).Hash; got != one {
			t.Errorf("%s: %s has another hash", c[0], c[1])
		}
	}
	if cred("authorization", "Bearer sk-abd").Hash == one {
		t.Error("another token has the same hash")
	}
	if cred("authorization", "Bearer sk-abc").Whole == cred("authorization", "bearer sk-abc").Whole {
		t.Error("the whole values differ and their hashes do not")
	}
	h := newHasher([]byte("another key"))
	other := h.credential("authorization", "Bearer sk-abc")
	if other.Hash == one {
		t.Error("the hash does not depend on the key")
	}
	if len(one) != 8 || strings.Trim(one, "0123456789abcdef") != "" {
		t.Errorf("hash %q is not 8 hex digits", one)
	}
}

func TestJWTClaims(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	for _, c := range []struct {
		head, body string
		want       JWT
	}{
		{`{"typ":"at+jwt"}`, `{"exp":1790000000,"nbf":1,"iat":2.5,"aud":"http://gw/mcp","iss":"https://u:p@idp.example/x?y=1","scope":"a b"}`,
			JWT{Exp: at(1790000000), Nbf: at(1), Iat: time.Unix(2, 5e8).UTC(), Aud: []string{"http://gw/mcp"}, Iss: "https://idp.example/x", Scope: "a b", Typ: "at+jwt"}},
		{`{}`, `{"exp":"1790000000","aud":["a","b",7],"scp":["x","y"]}`, JWT{Exp: at(1790000000), Aud: []string{"a", "b"}, Scope: "x y"}},
		{`{}`, `{"exp":1e300,"nbf":-1,"iat":true,"scp":"x"}`, JWT{Scope: "x"}},
		{`{}`, `{"exp":null}`, JWT{}},
		{`{}`, `{"aud":["1","2","3","4","5","6","7","8","9"]}`, JWT{Aud: []string{"1", "2", "3", "4", "5", "6", "7", "8"}}},
	} {
		got := cred("authorization", "Bearer "+jwt(c.head, c.body)).JWT
		if got == nil || fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s\n got %+v\nwant %+v", c.body, got, c.want)
		}
	}
	for _, bad := range []string{"a.b.c", "e30.e30x!.c", "W10.W10.c", "..", strings.Repeat("e30", 10000) + ".e30.x"} {
		if got := cred("authorization", "Bearer "+bad); got.JWT != nil || got.Class != "opaque" {
			t.Errorf("%.40s is taken for a JWT", bad)
		}
	}
	// Padding is not allowed and common.
	if got := cred("authorization", "Bearer e30=.eyJleHAiOjF9.c"); got.JWT == nil || got.JWT.Exp != at(1) {
		t.Error("padding is not tolerated")
	}
}

func TestWhichFieldsAreCredentials(t *testing.T) {
	for name, want := range map[string]bool{
		"authorization": true, "cookie": true, "x-mcp-auth": true, "x-mcp-github-authorization": true, "x-mcp-a-x-api-key": true, "api-key": true,
		"x-mcp-servers": false, "x-mcp-access-groups": false, "x-mcp-toolset-id": false, "x-mcp-debug-outbound-url": false, "x-mcp-x": false,
		"mcp-session-id": false, "accept": false,
	} {
		if isCredential([]byte(name)) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
