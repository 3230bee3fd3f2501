package web

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"mcp401/cmd/internal/web/page"
	"mcp401/samples"
)

// Handler answers what comes to the address at.
func (s *Server) Handler(at net.Addr) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page("index.html"))
	for _, name := range page.Names() {
		mux.HandleFunc("GET /"+name, s.page(name))
	}
	mux.HandleFunc("GET /api/limits", s.limits)
	mux.HandleFunc("POST /api/analyze", s.analyze)
	mux.HandleFunc("POST /api/runs", s.begin)
	mux.HandleFunc("GET /api/runs/{id}", s.state)
	mux.HandleFunc("DELETE /api/runs/{id}", s.remove)
	mux.HandleFunc("GET /api/runs/{id}/{document}", s.download)
	for _, place := range []string{"/api/analyze", "/api/runs"} {
		mux.HandleFunc(place, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", http.MethodPost)
			fail(w, &fault{http.StatusMethodNotAllowed, "files come here by POST", "as in: curl --data-binary @capture.pcap ADDRESS/api/analyze"})
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &fault{http.StatusNotFound, "there is nothing here", "the page is at /"})
	})
	return newGuard(mux, at, s.cfg.Token)
}

// page answers with a file of the page.
func (s *Server) page(name string) http.HandlerFunc {
	b, err := fs.ReadFile(page.Files(), name)
	if err != nil {
		panic("internal error: the page has no " + name)
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".js" {
		kind = "text/javascript; charset=utf-8" // whatever this machine's tables say: modules need it
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		http.ServeContent(newPatient(w), r, "", time.Time{}, bytes.NewReader(b))
	}
}

func (s *Server) limits(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, struct {
		Version string `json:"version"`
		Bytes   int64  `json:"bytes"`
		Files   int    `json:"files"`
	}{s.cfg.Version, s.cfg.Limits.Bytes, s.cfg.Limits.Files})
}

// accept takes a place, and the files of a request into a new run, which the
// caller holds. An error was answered already.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) (context.Context, *place, *run) {
	p, err := s.queue.take(client(r))
	if err != nil {
		s.reject(w, r, err)
		return nil, nil, nil
	}
	ctx, cancel := context.WithCancel(s.ctx)
	u, err := s.runs.add(cancel)
	if err != nil {
		cancel()
		p.leave()
		s.reject(w, r, err)
		return nil, nil, nil
	}
	if r.URL.Query().Get("sample") != "" {
		err = s.store(bytes.NewReader(samples.Tour), "tour.pcap", u)
	} else {
		err = s.receive(w, r, u)
	}
	if err != nil {
		u.end(ended)
		s.runs.drop(u)
		s.runs.release(u)
		p.leave()
		s.reject(w, r, err)
		return nil, nil, nil
	}
	return ctx, p, u
}

// reject answers with an error in place of reading the rest of a body. What of
// it is under way is taken for a moment: a client whose connection is reset
// while it sends may not see the answer.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Connection", "close")
	refuse(w, err)
	ctl := http.NewResponseController(w)
	if ctl.Flush() == nil && ctl.SetReadDeadline(time.Now().Add(politeWait)) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, politeBytes)
	}
}

// analyze answers with the report of the files in the request.
func (s *Server) analyze(w http.ResponseWriter, r *http.Request) {
	name := cmp.Or(r.URL.Query().Get("format"), "json")
	k, ok := kindOf(func(k kind) bool { return k.format == name })
	if !ok {
		var names []string
		for _, k := range kinds {
			names = append(names, k.format)
		}
		s.reject(w, r, &fault{http.StatusBadRequest, "this format is not known", "one of " + strings.Join(names, ", ")})
		return
	}
	ctx, p, u := s.accept(w, r)
	if u == nil {
		return
	}
	defer p.leave()
	defer s.runs.release(u)
	defer s.runs.drop(u)
	// Who has gone away needs no answer.
	stop := context.AfterFunc(r.Context(), u.cancel)
	defer stop()
	if p.wait(ctx) != nil {
		u.end(ended)
		return
	}
	s.analyse(ctx, u)
	if u.fault != nil {
		fail(w, u.fault)
		return
	}
	d, err := s.document(ctx, u, "report."+k.ext, s.written(u, k))
	if err != nil {
		refuse(w, err)
		return
	}
	send(w, r, d)
}

// begin takes files and answers with the run, whose analysis goes on.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) {
	ctx, p, u := s.accept(w, r)
	if u == nil {
		return
	}
	for _, f := range u.files {
		u.total.Add(f.size)
	}
	go func() {
		defer p.leave()
		defer s.runs.release(u)
		if p.wait(ctx) != nil {
			u.end(ended)
			return
		}
		s.analyse(ctx, u)
	}()
	answer(w, http.StatusCreated, struct {
		ID string `json:"id"`
	}{u.id})
}

// run returns the run that a request names, held; nil: it was answered that
// there is none.
func (s *Server) run(w http.ResponseWriter, r *http.Request) *run {
	u := s.runs.get(r.PathValue("id"))
	if u == nil {
		fail(w, &fault{http.StatusNotFound, "this analysis is gone", "drop the file again"})
	}
	return u
}

func (s *Server) state(w http.ResponseWriter, r *http.Request) {
	u := s.run(w, r)
	if u == nil {
		return
	}
	defer s.runs.release(u)
	v := struct {
		State string `json:"state"`
		Done  int64  `json:"done"`
		Total int64  `json:"total"`
		Error *told  `json:"error"`

		// The name by which the capture without its secrets is saved; "":
		// it cannot be made.
		Redacted string `json:"redacted"`
	}{State: reading, Done: u.read.Load(), Total: u.total.Load()}
	if u.over() {
		v.State = u.state
		if u.fault != nil {
			v.Error = &told{u.fault.text, u.fault.hint}
		}
		_, v.Redacted = u.redactable()
	}
	answer(w, http.StatusOK, v)
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	u := s.run(w, r)
	if u == nil {
		return
	}
	s.runs.drop(u)
	s.runs.release(u)
	w.WriteHeader(http.StatusNoContent)
}

// download answers with a document of a run.
func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	u := s.run(w, r)
	if u == nil {
		return
	}
	defer s.runs.release(u)
	if !u.over() {
		fail(w, &fault{http.StatusConflict, "the analysis is not done yet", "ask again when its state is done"})
		return
	}
	if u.fault != nil {
		fail(w, u.fault)
		return
	}
	name := r.PathValue("document")
	if name == "report.jsonl" { // as it is kept
		k, _ := kindOf(func(k kind) bool { return k.ext == "jsonl" })
		send(w, r, &document{u.report, k, "mcp401-report.jsonl"})
		return
	}
	how := s.redacted(u)
	if name == "view.json" {
		how = s.written(u, view)
	} else if name != "redacted" {
		k, ok := kindOf(func(k kind) bool { return "report."+k.ext == name })
		if !ok {
			fail(w, &fault{http.StatusNotFound, "there is no such document", "report.json, .html, .sarif, .md, .csv, .xml, or redacted"})
			return
		}
		how = s.written(u, k)
	}
	d, err := s.document(r.Context(), u, name, how)
	if err != nil {
		refuse(w, err)
		return
	}
	send(w, r, d)
}
