package hop

import "slices"

// solve gives each row one of its attempts, no attempt to two rows, so that
// the worth of all is largest; nil: none. Rows that share no attempt, directly
// or over others, do not touch each other and are solved apart.
func solve(rows []row) []*supply {
	got := make([]*supply, len(rows))
	for _, part := range parts(rows) {
		cols := columns(rows, part)
		if len(part)*len(cols) > exact {
			greedy(rows, part, got)
			continue
		}
		w := make([][]int, len(part))
		for i, r := range part {
			w[i] = make([]int, len(cols))
			for _, c := range rows[r].of {
				w[i][cols[c.s]] = c.worth
			}
		}
		back := make([]*supply, len(cols))
		for s, j := range cols {
			back[j] = s
		}
		for i, j := range hungarian(w) {
			if j >= 0 {
				got[part[i]] = back[j]
			}
		}
	}
	return got
}

// exact bounds the size, rows by columns, of what is solved exactly: some
// milliseconds. Beyond it the best pair goes first.
const exact = 128 * 128

// parts returns the rows by what they have in common, each part and all of
// them in order.
func parts(rows []row) [][]int {
	up := make([]int, len(rows)) // a row of the same part, or itself
	root := func(i int) int {
		for up[i] != i {
			up[i] = up[up[i]]
			i = up[i]
		}
		return i
	}
	first := map[*supply]int{}
	for i, r := range rows {
		up[i] = i
		for _, c := range r.of {
			if k, ok := first[c.s]; ok {
				a, b := root(i), root(k)
				up[max(a, b)] = min(a, b)
			} else {
				first[c.s] = i
			}
		}
	}
	var ps [][]int
	place := map[int]int{}
	for i := range rows {
		r := root(i)
		if r == i {
			place[r] = len(ps)
			ps = append(ps, nil)
		}
		ps[place[r]] = append(ps[place[r]], i)
	}
	return ps
}

// columns numbers the attempts of a part.
func columns(rows []row, part []int) map[*supply]int {
	cols := map[*supply]int{}
	for _, r := range part {
		for _, c := range rows[r].of {
			if _, ok := cols[c.s]; !ok {
				cols[c.s] = len(cols)
			}
		}
	}
	return cols
}

// greedy solves a part that is too large: the best pair goes first.
func greedy(rows []row, part []int, got []*supply) {
	type pair struct{ row, of int }
	var pairs []pair
	for _, r := range part {
		for i := range rows[r].of {
			pairs = append(pairs, pair{r, i})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return rows[b.row].of[b.of].worth - rows[a.row].of[a.of].worth })
	taken := map[*supply]bool{}
	for _, p := range pairs {
		if s := rows[p.row].of[p.of].s; got[p.row] == nil && !taken[s] {
			got[p.row], taken[s] = s, true
		}
	}
}

// hungarian solves the assignment problem: it returns for each row the column
// that it is given, or -1, so that the sum of the weights is largest. A weight
// of 0 means that the two cannot go together. Kuhn and Munkres with
// potentials, O(n²m).
func hungarian(w [][]int) []int {
	n := len(w)
	m := 0
	if n > 0 {
		m = len(w[0])
	}
	if len(w) == 1 {
		best := -1
		for j, v := range w[0] {
			if v > 0 && (best < 0 || v > w[0][best]) {
				best = j
			}
		}
		return []int{best}
	}
	cols := m + n // a row may be given a column of its own, which is worth nothing
	const inf = int(1) << 60
	u, v := make([]int, n+1), make([]int, cols+1)
	row := make([]int, cols+1) // of the column, from 1; 0: none
	way := make([]int, cols+1)
	cost := func(i, j int) int {
		if j <= m && w[i-1][j-1] > 0 {
			return -w[i-1][j-1]
		}
		if j == m+i {
			return 0
		}
		return inf / 4
	}
	for i := 1; i <= n; i++ {
		row[0] = i
		j0 := 0
		minv := make([]int, cols+1)
		used := make([]bool, cols+1)
		for j := range minv {
			minv[j] = inf
		}
		for {
			used[j0] = true
			i0, delta, j1 := row[j0], inf, 0
			for j := 1; j <= cols; j++ {
				if used[j] {
					continue
				}
				if c := cost(i0, j) - u[i0] - v[j]; c < minv[j] {
					minv[j], way[j] = c, j0
				}
				if minv[j] < delta {
					delta, j1 = minv[j], j
				}
			}
			for j := 0; j <= cols; j++ {
				if used[j] {
					u[row[j]] += delta
					v[j] -= delta
				} else {
					minv[j] -= delta
				}
			}
			j0 = j1
			if row[j0] == 0 {
				break
			}
		}
		for j0 != 0 {
			j1 := way[j0]
			row[j0] = row[j1]
			j0 = j1
		}
	}
	to := make([]int, n)
	for i := range to {
		to[i] = -1
	}
	for j := 1; j <= m; j++ {
		if i := row[j]; i > 0 && w[i-1][j-1] > 0 {
			to[i-1] = j - 1
		}
	}
	return to
}
