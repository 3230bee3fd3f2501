package web

import (
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// policy is what the page may do: show itself and ask this server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// sandboxed is the policy of a document that was made from a capture: it may
// do nothing, should a browser ever show it in place of saving it.
const sandboxed = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// A guard lets requests through to next that come from this server's own page
// or from a program of the user.
type guard struct {
	next   http.Handler
	hosts  map[string]bool // the values of Host that name this server
	open   bool            // bound to more than loopback: so does the connection's own address
	token  string
	cookie string
}

func newGuard(next http.Handler, at net.Addr, token string) *guard {
	g := &guard{next: next, hosts: map[string]bool{}, token: token}
	addr, ok := at.(*net.TCPAddr)
	if !ok {
		return g // no network: nothing is allowed
	}
	port := strconv.Itoa(addr.Port)
	names := []string{"localhost", "127.0.0.1", "[::1]"}
	if !addr.IP.IsUnspecified() {
		ip, _ := netip.AddrFromSlice(addr.IP)
		names = append(names, bracketed(ip.Unmap()))
	}
	if g.open = !addr.IP.IsLoopback(); g.open {
		if name, err := os.Hostname(); err == nil {
			names = append(names, strings.ToLower(name))
		}
	}
	for _, name := range names {
		g.hosts[name+":"+port] = true
		if addr.Port == 80 {
			g.hosts[name] = true
		}
	}
	// Cookies are shared by all ports of a host, so its name has ours.
	g.cookie = "mcp401-" + port
	return g
}

func bracketed(ip netip.Addr) string {
	if ip.Is6() {
		return "[" + ip.String() + "]"
	}
	return ip.String()
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// The rest of a body that nobody wanted is read by the server itself
		// before the next request, and not for long.
		defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(politeWait)) }()
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case !g.named(r):
		fail(w, &fault{http.StatusMisdirectedRequest, "this is not the name of this server", "open the address that mcp401 serve printed"})
	case !g.ours(r):
		fail(w, &fault{http.StatusForbidden, "a page of another site asked for this", "open the address that mcp401 serve printed"})
	case g.token == "":
		g.next.ServeHTTP(w, r)
	case g.enter(w, r):
	case !g.known(r):
		h.Set("WWW-Authenticate", "Bearer")
		fail(w, &fault{http.StatusUnauthorized, "the token is missing or wrong", "open the address that mcp401 serve printed, or send its token: Authorization: Bearer TOKEN"})
	default:
		g.next.ServeHTTP(w, r)
	}
}

// named reports whether the request was meant for this server. A page of
// another name that was made to resolve to this machine (DNS rebinding) is of
// the same origin as its requests, and told by nothing else.
func (g *guard) named(r *http.Request) bool {
	host := strings.ToLower(r.Host)
	if g.hosts[host] {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return g.open && ok && host == strings.ToLower(local.String())
}

// ours reports whether no page of another origin is behind the request. The
// page itself may be opened from anywhere; browsers say who asks, and programs
// say nothing.
func (g *guard) ours(r *http.Request) bool {
	if r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return true
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	switch origins := r.Header["Origin"]; len(origins) {
	case 0:
		return true
	case 1:
		u, err := url.Parse(origins[0])
		return err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.EqualFold(u.Host, r.Host)
	}
	return false
}

// enter takes the token out of the URL and puts it into a cookie.
func (g *guard) enter(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/" || r.Method != http.MethodGet || !g.same(r.URL.Query().Get("token")) {
		return false
	}
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return true
}

func (g *guard) known(r *http.Request) bool {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return g.same(bearer)
	}
	c, err := r.Cookie(g.cookie)
	return err == nil && g.same(c.Value)
}

func (g *guard) same(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(g.token)) == 1
}

// client names who asks, for what each may have at once: an address, or the
// network of an IPv6 address, of which one machine has any number.
func client(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	ip := at.Addr().Unmap()
	if ip.Is6() && !ip.IsLoopback() {
		p, _ := ip.WithZone("").Prefix(64)
		return p.String()
	}
	return ip.String()
}
