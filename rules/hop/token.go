package hop

// spent takes the failed requests to a token endpoint that a good one made up
// for: there is nothing to explain.
func (l *Linker) spent(s *supply) {
	s.taken = true
	for i := len(l.supplies) - 1; i >= 0 && i >= len(l.supplies)-32; i-- {
		if p := l.supplies[i]; p.token && !p.taken && p.host == s.host && p.end == s.end && p.Outcome.Failed() {
			p.taken = true
		}
	}
}

// explain gives the failed requests to a token endpoint to the attempts that
// lacked the token. One that no attempt followed is an attempt itself: the
// gateway got no further. Where the one server in scope was asked with a
// credential, or answered without, the token does not matter.
func explain(d *demand, got []*supply) []*supply {
	var out, tokens []*supply
	for _, s := range got {
		if s.token {
			tokens = append(tokens, s)
		} else {
			out = append(out, s)
		}
	}
	asked := out
	for _, t := range tokens {
		lacking := false
		for _, s := range asked {
			if s.Token == nil && s.Cred == nil && s.Outcome.Auth() && s.from >= t.from {
				s.Token, lacking = t.Decisive, true
				break
			}
		}
		if !lacking && (len(asked) == 0 || len(d.names) != 1) {
			t.Token = t.Decisive
			out = append(out, t)
		}
	}
	return out
}
