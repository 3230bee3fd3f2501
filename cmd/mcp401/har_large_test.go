//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// largeHAR is the size of the HAR that is made of ../shared/har.
const largeHAR = 300_000_000

// writeLargeHAR writes the entries of all files of ../shared/har, byte for byte
// but for their times, over and over, an hour later each time.
func writeLargeHAR(t testing.TB) string {
	t.Helper()
	files, _ := filepath.Glob("../../../shared/har/*.har")
	if len(files) == 0 {
		t.Skip("skipped: ../shared/har is absent")
	}
	type entry struct {
		text []byte
		at   [2]int // where its time stands
		time time.Time
	}
	began := regexp.MustCompile(`"startedDateTime":\s*"([^"]+)"`)
	var entries []entry
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Log struct{ Entries []json.RawMessage }
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatal(name, err)
		}
		for _, text := range doc.Log.Entries {
			at := began.FindSubmatchIndex(text)
			when, err := time.Parse(time.RFC3339Nano, string(text[at[2]:at[3]]))
			if err != nil {
				t.Fatal(name, err)
			}
			entries = append(entries, entry{text, [2]int{at[2], at[3]}, when})
		}
	}
	name := filepath.Join(t.TempDir(), "large.har")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	n, _ := w.WriteString(`{"log": {"version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"}, "entries": [`)
	comma := ""
	for hour := 0; n < largeHAR; hour++ {
		for _, e := range entries {
			k, _ := fmt.Fprintf(w, "%s%s%s%s", comma, e.text[:e.at[0]],
				e.time.Add(time.Duration(hour)*time.Hour).Format("2006-01-02T15:04:05.000Z07:00"), e.text[e.at[1]:])
			n += k
			comma = ",\n  "
		}
	}
	w.WriteString("]}}\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// analyzed analyses a file in a process of its own.
func analyzed(t testing.TB, name string) (cpu time.Duration, resident int) {
	t.Helper()
	var stderr bytes.Buffer
	c := exec.Command("mcp401", "analyze", "--quiet", "--fail-on", "never", "-o", os.DevNull, name)
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan error)
	go func() { over <- c.Wait() }()
	for {
		select {
		case err := <-over:
			if err != nil || stderr.Len() > 0 {
				t.Fatal(err, stderr.String())
			}
			return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), resident
		case <-time.After(5 * time.Millisecond):
			// Not the rusage: a process begins with the peak of the one that
			// started it.
			resident = max(resident, peak(c.Process.Pid))
		}
	}
}

// peak is the most memory that a process had resident, in bytes.
func peak(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n << 10
}

// TestLargeHAR: 300 MB are analysed in under 64 MB of memory, in less CPU time
// than encoding/json takes for the same members.
func TestLargeHAR(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: reads 300 MB twice")
	}
	name := writeLargeHAR(t)
	cpu, resident := analyzed(t, name)
	standard := spent(func() { decodeStandard(t, name) })
	t.Logf("%.0f MB: %.0f MB a CPU second, encoding/json %.0f; %d MB resident", largeHAR/1e6,
		largeHAR/1e6/cpu.Seconds(), largeHAR/1e6/standard.Seconds(), resident>>20)
	if resident == 0 || resident >= 64<<20 {
		t.Errorf("%d MB resident, 64 are allowed", resident>>20)
	}
	if cpu > standard {
		t.Errorf("%v of CPU time, encoding/json takes %v", cpu, standard)
	}
}

// BenchmarkLargeHAR is the analysis of 300 MB beside what it cannot be faster
// than, reading the file, and what it would be with encoding/json before the
// first byte is analysed. MB/cpu-s counts user and system time.
func BenchmarkLargeHAR(b *testing.B) {
	name := writeLargeHAR(b)
	run := func(title string, once func(b *testing.B) time.Duration) {
		b.Run(title, func(b *testing.B) {
			b.SetBytes(largeHAR)
			var cpu time.Duration
			for b.Loop() {
				cpu += once(b)
			}
			b.ReportMetric(largeHAR/1e6*float64(b.N)/cpu.Seconds(), "MB/cpu-s")
		})
	}
	run("read", func(b *testing.B) time.Duration { return spent(func() { readOnly(b, name) }) })
	run("json", func(b *testing.B) time.Duration { return spent(func() { decodeStandard(b, name) }) })
	run("mcp401", func(b *testing.B) time.Duration {
		cpu, resident := analyzed(b, name)
		b.ReportMetric(float64(resident)/1e6, "MB-resident")
		return cpu
	})
}

// spent is the CPU time that f takes, of all threads.
func spent(f func()) time.Duration {
	now := func() time.Duration {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	from := now()
	f()
	return now() - from
}

func readOnly(t testing.TB, name string) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, f, make([]byte, 256<<10)); err != nil {
		t.Fatal(err)
	}
}

// decodeStandard reads with encoding/json what an analysis needs, an entry at a
// time.
func decodeStandard(t testing.TB, name string) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReaderSize(f, 256<<10))
	for token := json.Token(nil); token != json.Delim('['); {
		if token, err = d.Token(); err != nil {
			t.Fatal(err)
		}
	}
	type field struct{ Name, Value string }
	n := 0
	for ; d.More(); n++ {
		var e struct {
			StartedDateTime string
			Time            float64
			Request         struct {
				Method, URL, HTTPVersion string
				Headers                  []field
				PostData                 struct{ MimeType, Text string }
			}
			Response struct {
				Status  int
				Headers []field
				Content struct{ MimeType, Text, Encoding string }
			}
			Timings struct{ Blocked, DNS, Connect, Send, Wait float64 }
		}
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		t.Fatal("nothing read")
	}
}
