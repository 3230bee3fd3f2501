// Package web is the local page and its handlers: files come in, reports go
// out, over HTTP on this machine.
//
// It judges nothing: files go to package bundle, objects of the report into a
// temporary file, and every format is made from that by package report, as
// `mcp401 report` does. It holds no upload and no report in memory and no lock
// while it waits for the network.
//
// The one trick: everything that a run keeps is in files without a name, so
// that nothing is left on the disk however the process ends, and no name from
// outside ever is the name of a file here.
//
// Who may ask. On a loopback address no token is needed: nothing lists the
// runs, and who does not know the 128 random bits of a run's id gets none of
// it, other users of the machine included; they can do no more than analyse
// files of their own, within the limits. Pages of other sites are kept out by
// the Host field, which has to name the listening address (DNS rebinding), and
// by Origin and Sec-Fetch-Site. On any other address every request needs the
// token of the URL that was printed: in the URL once, which sets a cookie, or
// as a bearer.
//
// The API, for the page and for programs (README has an example):
//
//	POST   /api/analyze?format=F         files in, the report out
//	POST   /api/runs                     files in, {"id"} out; the analysis goes on
//	POST   /api/runs?sample=1            the same with the built-in capture
//	GET    /api/runs/ID                  {"state","done","total","error","redacted"}
//	GET    /api/runs/ID/report.EXT       the report: json, html, sarif, md, csv, xml, jsonl, txt
//	GET    /api/runs/ID/view.json        the same in sentences, for the page
//	GET    /api/runs/ID/redacted         the capture without its secrets
//	DELETE /api/runs/ID                  ends it and forgets it
//	GET    /api/limits                   {"version","bytes","files"}
//
// A body is multipart/form-data, of which every part is a file, or one file as
// it is. Errors are {"error":{"text","hint"}} with a fitting status.
package web

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/netutil"
)

// A Config says how to serve. Its zero value works on a loopback address.
type Config struct {
	Version   string           // of the tool, for reports
	Token     string           // that every request has to bring; "": none
	Gateways  []netip.AddrPort // known beforehand, for every analysis
	Upstreams []netip.AddrPort
	Limits    Limits
}

// Limits is every bound of what comes from outside. Zero means default.
type Limits struct {
	Bytes    int64         // of one upload. 4 GiB: an hour of a busy gateway
	Files    int           // of one upload. 64
	Unpacked int64         // bytes that one upload may grow to when decompressed. 64 GiB: captures shrink to a tenth
	Patience time.Duration // in which Rate bytes of an upload have to come. 10 s
	Rate     int64         // 256 KiB: slower than any network in use
	Upload   time.Duration // for an upload as a whole. 1 h
	Analysis time.Duration // for an analysis. 15 min: 4 GiB take four
	Free     int64         // bytes that stay free on the disk. 512 MiB
	Runs     int           // that are kept; the oldest goes first. 32
	Kept     int64         // bytes of all of them. 8 GiB
	Age      time.Duration // since a run was last asked for. 8 h: a working day
	Running  int           // analyses at once, one of each client, and documents being made at once. 1: each may take 300 MB, most of it a zstd window
	Begun    int           // uploads and analyses that run or wait. 32
	ByClient int           // of them of one client. 8
	Conns    int           // connections. 256
}

func (l Limits) withDefaults() Limits {
	def(&l.Bytes, 4<<30)
	def(&l.Files, 64)
	def(&l.Unpacked, 64<<30)
	def(&l.Patience, 10*time.Second)
	def(&l.Rate, 256<<10)
	def(&l.Upload, time.Hour)
	def(&l.Analysis, 15*time.Minute)
	def(&l.Free, 512<<20)
	def(&l.Runs, 32)
	def(&l.Kept, max(8<<30, 2*l.Bytes))
	def(&l.Age, 8*time.Hour)
	def(&l.Running, 1)
	def(&l.Begun, 32)
	def(&l.ByClient, 8)
	def(&l.Conns, 256)
	return l
}

func def[T int | int64 | time.Duration](p *T, v T) {
	if *p <= 0 {
		*p = v
	}
}

// Timeouts of a connection, beside those of uploads.
const (
	headWait    = 10 * time.Second // for a request's head
	idleWait    = time.Minute      // for the next request
	writeWait   = 30 * time.Second // for 32 KiB of an answer to be taken
	politeWait  = 3 * time.Second  // for the rest of a body that is refused, so that the client sees why
	politeBytes = 64 << 20         // of it
	headBytes   = 16 << 10         // of a request's head
	lastWait    = 2 * time.Second  // for answers under way when the server ends
)

// A Server answers the page and the API.
type Server struct {
	cfg    Config
	files  *files
	runs   *runs
	queue  *queue
	making chan struct{} // slots for documents that are being made
	ctx    context.Context
	stop   context.CancelFunc
}

// New returns a server, which has a folder for temporary files until Close.
func New(cfg Config) (*Server, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	f, err := newFiles(cfg.Limits.Free)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, files: f, runs: newRuns(cfg.Limits), queue: newQueue(cfg.Limits), making: make(chan struct{}, cfg.Limits.Running)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends every run and removes every file.
func (s *Server) Close() error {
	s.stop()
	s.runs.clear()
	return s.files.close()
}

// Serve answers on l until ctx is over, which is no error. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s.Handler(l.Addr()),
		ReadHeaderTimeout: headWait,
		IdleTimeout:       idleWait,
		MaxHeaderBytes:    headBytes,
		ErrorLog:          log.New(io.Discard, "", 0), // of clients' faults, which they are told
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		s.stop()
		patience, cancel := context.WithTimeout(context.Background(), lastWait)
		defer cancel()
		if h.Shutdown(patience) != nil {
			h.Close()
		}
	})
	defer stop()
	old := time.NewTicker(min(time.Minute, s.cfg.Limits.Age))
	defer old.Stop()
	go func() {
		for {
			select {
			case <-old.C:
				s.runs.expire(time.Now())
			case <-s.ctx.Done():
				return
			}
		}
	}()
	err := h.Serve(netutil.LimitListener(l, s.cfg.Limits.Conns))
	if errors.Is(err, http.ErrServerClosed) {
		<-ended
		return nil
	}
	return err
}
