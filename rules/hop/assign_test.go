package hop

import (
	"math/rand/v2"
	"testing"
)

// best is the largest sum of weights, by trying everything.
func best(w [][]int, i int, used []bool) int {
	if i == len(w) {
		return 0
	}
	top := best(w, i+1, used)
	for j, v := range w[i] {
		if v > 0 && !used[j] {
			used[j] = true
			top = max(top, v+best(w, i+1, used))
			used[j] = false
		}
	}
	return top
}

// sum is what an assignment is worth; it fails where two rows share a column
// or a row has one that it cannot have.
func sum(t *testing.T, w [][]int, to []int) int {
	total, used := 0, map[int]bool{}
	if len(to) != len(w) {
		t.Fatalf("%d rows assigned of %d", len(to), len(w))
	}
	for i, j := range to {
		if j < 0 {
			continue
		}
		if used[j] || w[i][j] <= 0 {
			t.Fatalf("row %d may not have column %d: %v of %v", i, j, to, w)
		}
		used[j] = true
		total += w[i][j]
	}
	return total
}

func TestHungarianIsBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		n, m := 1+rng.IntN(5), 1+rng.IntN(6)
		w := make([][]int, n)
		for i := range w {
			w[i] = make([]int, m)
			for j := range w[i] {
				if rng.IntN(3) > 0 {
					w[i][j] = rng.IntN(wFit + wCredential)
				}
			}
		}
		if got, want := sum(t, w, hungarian(w)), best(w, 0, make([]bool, m)); got != want {
			t.Fatalf("%d, the best is %d: %v", got, want, w)
		}
	}
}

func FuzzHungarian(f *testing.F) {
	f.Add([]byte{2, 1, 2, 3, 4, 5, 6})
	f.Add([]byte{3, 9, 9, 9, 0, 0, 9, 9, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 2 {
			return
		}
		m := int(b[0])%5 + 1
		var w [][]int
		for b = b[1:]; len(b) >= m && len(w) < 5; b = b[m:] {
			row := make([]int, m)
			for j := range row {
				row[j] = int(b[j])
			}
			w = append(w, row)
		}
		if got, want := sum(t, w, hungarian(w)), best(w, 0, make([]bool, m)); got != want {
			t.Fatalf("%d, the best is %d: %v", got, want, w)
		}
	})
}

func TestHungarianOfNothing(t *testing.T) {
	if got := hungarian(nil); len(got) != 0 {
		t.Error(got)
	}
	if got := hungarian([][]int{{}, {}}); got[0] != -1 || got[1] != -1 {
		t.Error(got)
	}
}
