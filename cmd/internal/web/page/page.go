// Package page is the files of the page that shows a report: markup, style and
// ES modules, flat in one folder, as they are served and as they are put into
// one file.
//
// It serves nothing and builds nothing. The one trick: the page knows neither a
// server nor WebAssembly, only an engine (engine.js says what that is), so that
// the same modules run over HTTP and from a file.
package page

import (
	"bytes"
	"embed"
	"io/fs"
	"slices"
	"time"

	"mcp401/rules/report"
)

//go:embed *.html *.css *.js
var embedded embed.FS

// ReportStyle is the name under which the style sheet of the HTML report is
// among the files: the page looks like it.
const ReportStyle = "report.css"

// Files returns the files of the page. They do not change while the program
// runs.
func Files() fs.FS { return files{embedded} }

// Names returns the names of all files, in order.
func Names() []string {
	list, err := embedded.ReadDir(".")
	if err != nil {
		panic("internal error: no page: " + err.Error())
	}
	names := []string{ReportStyle}
	for _, f := range list {
		names = append(names, f.Name())
	}
	slices.Sort(names)
	return names
}

// files is the embedded files and the style of the report.
type files struct{ fs.FS }

func (f files) Open(name string) (fs.File, error) {
	if name == ReportStyle {
		return &style{Reader: bytes.NewReader([]byte(report.Style()))}, nil
	}
	return f.FS.Open(name)
}

// style is an open file with the style of the report.
type style struct{ *bytes.Reader }

func (s *style) Close() error               { return nil }
func (s *style) Stat() (fs.FileInfo, error) { return info{s.Reader.Size()}, nil }

type info struct{ size int64 }

func (i info) Name() string       { return ReportStyle }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return 0o444 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
