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
