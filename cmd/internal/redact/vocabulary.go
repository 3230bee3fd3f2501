package redact

import "strings"

// vocabulary is the words that may stay where prose or a protocol's own words
// stand: what HTTP, JSON-RPC, MCP, OAuth and their error texts are made of. It
// is an allow-list: a word that is missing costs a reader a word. To add one,
// put it here, in lower case.
var vocabulary = set(`
http https ws wss tcp tls sse rest rpc json jsonrpc mcp mcp401 html xhtml xml text plain application event stream javascript css image
png svg jpeg gif webp font woff woff2 form urlencoded www x octet multipart data utf 8 utf8 utf-8 charset iso ascii us wasm manifest
get post put delete options head patch connect trace query
200 201 202 204 301 302 303 304 307 308 400 401 403 404 405 406 408 409 410 413 415 422 429 500 501 502 503 504
ok created accepted no content moved permanently found see other not modified temporary redirect permanent bad request unauthorized
unauthorised payment required forbidden method allowed acceptable proxy authentication timeout conflict gone length precondition failed payload too
large uri long unsupported media type range satisfiable expectation misdirected unprocessable entity locked many requests header
fields internal server error implemented gateway service unavailable version continue switching protocols early hints partial
unauthenticated authorization authorized authenticated authenticate auth oauth oauth2 oidc login logout sign signin in access denied
permission permissions token tokens expired invalid insufficient scope scopes grant client credentials credential api key keys
bearer basic digest negotiate ntlm dpop apikey realm audience issuer signature nbf exp iat active valid yet missing malformed
the a an and or of for to is was were are be been has have had with without by on at from as it its this that there cannot could
must should may may not does did do while when where which who why before after during because please check again retry try
url host port path name id server servers upstream downstream tool tools list lists call calls called resource resources prompt prompts
template templates read write subscribe unsubscribe completion complete completed logging level setlevel message messages progress
cancelled initialized initialize ping roots sampling createmessage elicitation create changed updated update notification
notifications result results discover listen subscriptions acknowledged endpoint session sessions streamable transport stdio
response responses request chat completions output item items done added delta in_progress incomplete fetched started stop start
assistant user system developer function functions object model models type string number integer boolean array null true false
auto none any required input parsing parse
failed failure fail error errors exception fetch timed out connection connect connecting refused reset closed close aborted abort
unreachable unknown unexpected unable one every all some more least most first last empty count exceeded limit rate
litellm proxy probe key virtual guardrail filter filtered internal upstream_error auth_required timeout tag status scheme
same as masked passthrough per static stored resolution override header headers m2m default
refresh code verifier exchange password device jwt jwe at typ alg none hs256 rs256 es256 eddsa rs384 rs512 ps256 es384
not_found partial_failure unexpected_error server_not_found outcome outcomes
gzip br deflate zstd identity compress chunked trailers keep alive upgrade h2c websocket max age public private cache store
revalidate must proxy immutable nosniff sameorigin origin accept encoding language agent user content allow expose methods cors
navigate document script stylesheet fetch xhr preflight websocket eventsource initial parser other high low verylow veryhigh medium
disk memory redirect basic opaque empty cross site same dest mode secure httponly lax strict
mon tue wed thu fri sat sun jan feb mar apr may jun jul aug sep oct nov dec gmt utc z t
python httpx aiohttp urllib3 requests uvicorn starlette fastapi hypercorn gunicorn nginx envoy openresty caddy apache traefik cloudflare
node undici axios fetch go client curl wget mozilla applewebkit khtml like gecko chrome chromium safari firefox edge headlesschrome
linux x11 windows macintosh intel mac os nt win64 x64 x86 64 i686 aarch64 ubuntu mobile android iphone en us en-us gb de q
openai anthropic claude copilot vscode cursor inspector modelcontextprotocol sdk ui page
err net failed blocked name resolved host insecure response refused reset aborted closed certificate authority cert invalid date
common ssl protocol unsafe timed internet disconnected address quic http2 orb corp block ns_binding_aborted
description metadata transform policy security
har webinspector playwright charles fiddler
mismatch ended answer whole capture control network deny frame ancestors
value_error validation loc msg ctx greater than equal instance constraint does match pattern expected found
`)

// routes is the words of paths by which a request is known.
var routes = set(`
mcp rest tools list call test v1 server servers health responses chat completions messages register token sse well known
oauth authorization protected resource authorize login signin sign in sso saml callback toolset proxy api ui user key openid configuration
`)

// tags is what pages are known by.
var tags = set("doctype html head body title meta div script h1 center")

func set(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

func known(low string) bool { return vocabulary[low] }
func route(low string) bool { return routes[low] }
