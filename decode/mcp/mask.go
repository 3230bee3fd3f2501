package mcp

// What counts as a secret, for those who rewrite messages instead of reading
// them. The decoder itself reads credentials by the same tables.

// IsCredential reports whether the header field of that lower-case name is read
// as a credential.
func IsCredential(name string) bool { return isCredential([]byte(name)) }

// IsScheme reports whether a word, in lower case, is an authentication scheme
// that is looked for in front of any credential.
func IsScheme(word string) bool { return knownSchemes[word] }

// NeedsScheme reports whether the credential field of that lower-case name has
// to begin with a scheme, of whatever name.
func NeedsScheme(name string) bool { return credentialHeaders[name] }

// IsSecretName reports whether the value that a name names is a secret, as in
// "access_token" and "Password".
func IsSecretName(name string) bool { return secretName(name) || querySession[name] }

// SecretPrefix returns the public beginning that tells the kind of a secret
// ("sk-", "gho_"), "" for none.
func SecretPrefix(s string) string { return prefixOf(s) }

// LooksSecret tells random text from names and prose. It errs on the safe side.
func LooksSecret(s string) bool { return looksSecret(s) }
