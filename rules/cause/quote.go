package cause

// Quotable makes s fit for a place in a shell command, between quotes or not,
// by percent encoding, and bounds it: names from a capture are not to be
// obeyed. It is what Expand does to the values of a command.
func Quotable(s string) string { return quotable(s) }
