package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp401/rules/report"
)

// A served is a `mcp401 serve` that runs in a process of its own.
type served struct {
	cmd  *exec.Cmd
	url  string // with the slash at its end
	tmp  string // its TMPDIR
	errs bytes.Buffer
}

// serve starts one.
func serve(t *testing.T, tmp string, args ...string) *served {
	t.Helper()
	// It must not outlive the test, not even one that takes too long.
	ctx := t.Context()
	if end, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-5*time.Second))
		t.Cleanup(cancel)
	}
	s := &served{tmp: tmp, cmd: exec.CommandContext(ctx, "mcp401", append([]string{"serve"}, args...)...)}
	s.cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "TMP="+tmp)
	s.cmd.Stderr = &s.errs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		if s.errs.Len() > 0 && !t.Failed() {
			t.Errorf("on standard error: %s", s.errs.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	s.url, _, _ = strings.Cut(line, " ")
	if err != nil || !strings.HasPrefix(s.url, "http://") || !strings.HasSuffix(line, "Ctrl-C ends it\n") {
		t.Fatalf("it prints %q, %v", line, err)
	}
	return s
}

// folders is what it has in its TMPDIR.
func (s *served) folders(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(s.tmp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// post sends a body and returns the answer.
func (s *served) post(t *testing.T, path, kind string, body io.Reader) (int, string) {
	t.Helper()
	answer, err := http.Post(s.url+path, kind, body)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

// get is post without a body.
func (s *served) get(t *testing.T, path string) (int, http.Header, string) {
	t.Helper()
	answer, err := http.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}

// form is files as a browser sends them.
func form(t *testing.T, files ...string) (kind string, body *bytes.Buffer) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := w.CreateFormFile("file", name)
		if err != nil {
			t.Fatal(err)
		}
		p.Write(b)
	}
	w.Close()
	return w.FormDataContentType(), body
}

// finished asks for a run until it is done.
func (s *served) finished(t *testing.T, answer string) (id, redacted string) {
	t.Helper()
	var run struct{ ID, State, Redacted string }
	if err := json.Unmarshal([]byte(answer), &run); err != nil || run.ID == "" {
		t.Fatalf("%s: %v", answer, err)
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_, _, state := s.get(t, "api/runs/"+run.ID)
		if err := json.Unmarshal([]byte(state), &run); err != nil {
			t.Fatalf("%s: %v", state, err)
		}
		if run.State == "done" {
			return run.ID, run.Redacted
		}
		if run.State != "reading" {
			t.Fatal(state)
		}
	}
	t.Fatal("not done in a minute")
	return "", ""
}

// What the server says of a file is what the command line says of it, byte for
// byte and in every format: by itself, as a part of a form, and for the page.
func TestServeSaysTheSame(t *testing.T) {
	atTop(t)
	s := serve(t, t.TempDir())
	captures, err := filepath.Glob("samples/*/capture.*")
	if err != nil || len(captures) < 9 {
		t.Fatalf("found %d samples, %v", len(captures), err)
	}
	for _, file := range captures {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			t.Chdir(filepath.Dir(file))
			base := filepath.Base(file)
			args := []string{"analyze", base}
			files := []string{base}
			if _, err := os.Stat("keys.log"); err == nil {
				files = append(files, "keys.log")
				args = append(args, "--keylog", "keys.log")
			}
			kind, body := form(t, files...)
			code, id := s.post(t, "api/runs", kind, bytes.NewReader(body.Bytes()))
			if code != http.StatusCreated {
				t.Fatal(code, id)
			}
			run1, redacted := s.finished(t, id)
			extensions := map[string]string{"markdown": "md", "junit": "xml", "table": "txt"}
			for _, f := range report.Formats {
				want, _ := run(t, append(args, "--format", f.Name)...)
				if code, got := s.post(t, "api/analyze?format="+f.Name, kind, bytes.NewReader(body.Bytes())); code != 200 || got != want {
					t.Errorf("%s, as a form: %d\n%s\nwant\n%s", f.Name, code, got, want)
				}
				ext := f.Name
				if e := extensions[f.Name]; e != "" {
					ext = e
				}
				if code, _, got := s.get(t, "api/runs/"+run1+"/report."+ext); code != 200 || got != want {
					t.Errorf("%s, for the page: %d\n%s\nwant\n%s", f.Name, code, got, want)
				}
			}
			b, err := os.ReadFile(base)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := run(t, append(args, "--format", "json")...)
			if code, got := s.post(t, "api/analyze?name="+base, "application/octet-stream", bytes.NewReader(b)); len(files) == 1 && (code != 200 || got != want) {
				t.Errorf("as it is: %d\n%s\nwant\n%s", code, got, want)
			}

			code, head, safe := s.get(t, "api/runs/"+run1+"/redacted")
			if code != 200 || !strings.Contains(head.Get("Content-Disposition"), redacted) || filepath.Ext(redacted) != filepath.Ext(base) {
				t.Fatalf("redacted: %d, %v, %q\n%s", code, head, redacted, safe)
			}
			if err := os.WriteFile(filepath.Join(t.TempDir(), redacted), []byte(safe), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, after := s.post(t, "api/analyze?format=csv", "", strings.NewReader(safe)); strings.Count(after, "\n") != strings.Count(mustRun(t, append(args, "--format", "csv")...), "\n") {
				t.Errorf("redacted, it has other calls: %s", after)
			}
		})
	}
	if f := s.folders(t); len(f) != 1 {
		t.Errorf("%d folders for temporary files: %q", len(f), f)
	} else if inside, _ := os.ReadDir(f[0]); runtime.GOOS != "windows" && len(inside) != 1 {
		t.Errorf("files with names: %v", inside)
	}
	stop(t, s)
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, _ := run(t, args...)
	return out
}

// stop ends a server as a user does.
func stop(t *testing.T, s *served) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no signals to send here")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if f := s.folders(t); len(f) != 0 {
		t.Errorf("left behind: %q", f)
	}
}

// Key logs and a configuration are told apart from captures.
func TestServeBundle(t *testing.T) {
	s := serve(t, t.TempDir())
	if code, answer := s.post(t, "api/runs?sample=1", "", nil); code != http.StatusCreated {
		t.Error(code, answer)
	} else {
		id, _ := s.finished(t, answer)
		if _, _, doc := s.get(t, "api/runs/"+id+"/report.json"); !strings.Contains(doc, `"swallowed-401":15`) {
			t.Errorf("the sample: %s", doc)
		}
		request, err := http.NewRequest(http.MethodDelete, s.url+"api/runs/"+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil || answer.StatusCode != http.StatusNoContent {
			t.Fatal(answer, err)
		}
		answer.Body.Close()
		if code, _, _ := s.get(t, "api/runs/"+id); code != http.StatusNotFound {
			t.Errorf("deleted, it answers %d", code)
		}
	}
	stop(t, s)
}

// A process that is killed leaves nothing of a capture, and the next one takes
// its empty folder away.
func TestServeKilled(t *testing.T) {
	tmp := t.TempDir()
	s := serve(t, tmp)
	kind, body := form(t, filepath.Join("..", "..", "samples", "tour", "capture.pcap"))
	code, answer := s.post(t, "api/runs", kind, body)
	if code != http.StatusCreated {
		t.Fatal(code, answer)
	}
	s.finished(t, answer)
	folders := s.folders(t)
	if len(folders) != 1 {
		t.Fatalf("%q", folders)
	}
	if info, err := os.Stat(folders[0]); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	err := filepath.WalkDir(folders[0], func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err != nil || info.Size() > 0 {
				t.Errorf("left behind: %s, %v", name, info)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	other := filepath.Join(tmp, "mcp401-serve-file") // what only looks like a folder of ours stays
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := serve(t, tmp)
	if got := next.folders(t); len(got) != 2 || got[0] == folders[0] || got[1] == folders[0] {
		t.Errorf("after the next start: %q", got)
	}
	beside := serve(t, tmp) // does not take the folder of one that runs
	if got := beside.folders(t); len(got) != 3 {
		t.Errorf("beside another one: %q", got)
	}
}

// On another address than loopback there is a token, once in the URL, then in a
// cookie.
func TestServeToken(t *testing.T) {
	s := serve(t, t.TempDir(), "--listen", "0.0.0.0:0", "--quiet")
	u, err := url.Parse(s.url)
	if err != nil || u.Query().Get("token") == "" {
		t.Fatal(s.url, err)
	}
	s.url = "http://127.0.0.1:" + u.Port() + "/"
	if code, answer := s.post(t, "api/runs?sample=1", "", nil); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d, %s", code, answer)
	}
	request, err := http.NewRequest(http.MethodPost, s.url+"api/runs?sample=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+u.Query().Get("token"))
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatal(answer, err)
	}
	answer.Body.Close()
}
