package keep

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/decode/stack"
)

// sent is a packet of a connection that is wanted.
func sent(k *Keeper, num int) {
	at := time.Unix(1_700_000_000, 0).Add(time.Duration(num) * time.Minute)
	data := make([]byte, 1000)
	k.Record(capture.Record{Num: num, Time: at, Packet: &capture.Packet{Link: capture.LinkEthernet, Length: len(data), Data: data}}, stack.Place{At: decode.Mark{Frame: num, Time: at}, Flow: 1}, nil)
	k.want(1)
	k.Settle(at.Add(time.Second), 0)
}

// read returns how many packets and how many losses a file has.
func read(t *testing.T, name string) (packets int, lost uint64) {
	t.Helper()
	src, err := capture.Open([]string{name}, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	list, err := capturetest.Collect(src)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Packet != nil {
			packets++
		}
		if r.Loss != nil {
			lost += r.Loss.Packets
		}
	}
	for _, w := range src.Warnings() {
		t.Errorf("the file is damaged: %v", w)
	}
	return packets, lost
}

func keeper(t *testing.T, name string) (*Keeper, *[]string) {
	t.Helper()
	var said []string
	k, err := New(Config{Name: name, Say: func(err error) { said = append(said, err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	return k, &said
}

// A file that cannot be written costs its frames and no more: it is said once,
// counted, and written again when that is possible.
func TestCannotBeWritten(t *testing.T) {
	name := filepath.Join(t.TempDir(), "kept.pcapng")
	k, said := keeper(t, name)
	sent(k, 1)
	good := k.out.f
	bad, err := os.Open(name) // for reading
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	k.out.f = bad
	for num := 2; num <= 5; num++ {
		sent(k, num)
	}
	if len(*said) != 1 || !strings.Contains((*said)[0], ": capturing goes on") || k.stats.Lost.Load() != 4 {
		t.Errorf("said %q, %d lost", *said, k.stats.Lost.Load())
	}
	k.out.f = good
	sent(k, 6) // not tried again so soon
	k.out.tried = time.Now().Add(-retryAfter)
	sent(k, 7)
	sent(k, 8)
	if len(*said) != 2 || (*said)[1] != "written again; 5 frames were lost in all" {
		t.Errorf("said %q", *said)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if n, lost := read(t, name); n != 3 || lost != 5 {
		t.Errorf("the file has %d frames and says that %d were lost", n, lost)
	}
}

// A file that cannot be opened again is tried again too.
func TestCannotBeOpenedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	name := filepath.Join(dir, "kept.pcapng")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	k, said := keeper(t, name)
	sent(k, 1)
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Skip(err) // where open files cannot be moved
	}
	k.Reopen()
	sent(k, 2)
	if len(*said) != 1 || k.stats.Lost.Load() != 1 {
		t.Errorf("said %q, %d lost", *said, k.stats.Lost.Load())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	k.out.tried = time.Time{}
	sent(k, 3)
	if err := k.Close(); err != nil || len(*said) != 2 {
		t.Errorf("%v, said %q", err, *said)
	}
	// The first two frames stand there too: they begin the connection.
	if n, _ := read(t, name); n != 3 {
		t.Errorf("%d frames", n)
	}
}

// Connections that come to nothing, in any number, take no memory for long, and
// the bytes of frames that wait are bounded.
func TestFlood(t *testing.T) {
	k, _ := keeper(t, filepath.Join(t.TempDir(), "kept.pcapng"))
	at := time.Unix(1_700_000_000, 0)
	syn := make([]byte, 60)
	for num := 1; num <= 1_000_000; num++ {
		k.Record(capture.Record{Num: num, Time: at, Packet: &capture.Packet{Link: capture.LinkEthernet, Length: len(syn), Data: syn}}, stack.Place{At: decode.Mark{Frame: num, Time: at}, Flow: num}, nil)
	}
	most := waitBytes/(len(syn)+frameCost) + 1
	if len(k.flows) > most || len(k.queue.frames)-k.queue.head > most || cap(k.queue.frames) > 4*most {
		t.Errorf("%d connections, %d frames, room for %d", len(k.flows), len(k.queue.frames)-k.queue.head, cap(k.queue.frames))
	}
	k.Settle(at.Add(time.Minute), 0)
	if len(k.flows) != 0 || k.queue.cost != 0 {
		t.Errorf("%d connections and %d bytes are left", len(k.flows), k.queue.cost)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

// Key log lines are bounded, and those that are none are nothing.
func TestKeyLines(t *testing.T) {
	k, _ := keeper(t, filepath.Join(t.TempDir(), "kept.pcapng"))
	k.secrets([]byte("garbage\n# a comment\nCLIENT_RANDOM zz zz\n\nCLIENT_RANDOM " + strings.Repeat("zz", 32) + " 00\n"))
	if len(k.lines) != 0 {
		t.Errorf("%d lines", len(k.lines))
	}
	line := func(i int) string { return fmt.Sprintf("CLIENT_RANDOM %064x %096x\n", i, i) }
	var all strings.Builder
	for i := range 120_000 {
		all.WriteString(line(i))
	}
	k.secrets([]byte(all.String()))
	before := k.text
	k.secrets([]byte(line(119_999)))
	if k.text > lineBytes || k.text != before || len(k.lines) != len(k.order) || len(k.lines) < 50_000 {
		t.Errorf("%d bytes, %d before, of %d connections", k.text, before, len(k.lines))
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}
