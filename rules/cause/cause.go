// Package cause says why an upstream refused, and what to do about it.
//
// It looks only at what the case shows: the credential that the upstream got,
// those that the client sent, and the challenge. It never says that a token is
// good. The one trick: the causes are a table of tests, and the first that
// fits is the cause.
package cause

// An ID names a cause: why an upstream refused.
type ID string

// The causes, in the order in which they are tried.
const (
	None                  ID = ""
	GatewayKeySent        ID = "gateway-key-sent"
	DoubledBearer         ID = "doubled-bearer"
	MalformedCredential   ID = "malformed-credential"
	TokenExpired          ID = "token-expired"
	TokenNotYetValid      ID = "token-not-yet-valid"
	TokenAudience         ID = "token-audience"
	InsufficientScope     ID = "insufficient-scope"
	StaticCredential      ID = "static-credential"
	TokenEndpointFailed   ID = "token-endpoint-failed"
	RedirectDroppedHeader ID = "redirect-dropped-header"
	AliasMismatch         ID = "alias-mismatch"
	HeaderNotForwarded    ID = "header-not-forwarded"
	TokenMissing          ID = "token-missing"
	TokenRejected         ID = "token-rejected"
)
