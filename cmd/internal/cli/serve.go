package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"mcp401/cmd/internal/web"
)

// serveMemory is what the heap of a server is kept below where that can be:
// uploads are read in streams, and what is left is the state of two analyses.
const serveMemory = 320 << 20

func (a *app) serve() *cobra.Command {
	var listen, most string
	var open bool
	var in input
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "a page on this machine: drop a HAR or a capture, see both hops",
		Long: `serve answers a page on this machine. Drop a HAR, a pcap, several of them, with
key logs and a litellm.yaml if you have them: it says what was hidden, why, and
what to do, and draws both hops of each call. Nothing leaves the machine, and
files are forgotten when it ends.

It listens on 127.0.0.1 on a free port. On any other address a token is needed,
which is part of the URL that is printed; the traffic is not encrypted.

Programs post files, as they are or as multipart/form-data, to /api/analyze and
get the report of analyze --format json; ?format= takes every other format:
  curl -sS -F f=@capture.pcap -F f=@gateway.keys http://127.0.0.1:8401/api/analyze
  curl -sS --data-binary @capture.har http://127.0.0.1:8401/api/analyze?format=markdown
With a token: -H "Authorization: Bearer TOKEN". An error is a JSON object,
{"error": {"text": ..., "hint": ...}}, with a fitting status: 413 too large, 422
not a capture, 429 and 503 too much at once, 507 no room on the disk.

Temporary files are where TMPDIR says. SIGINT and SIGTERM end it.`,
		Example: `  mcp401 serve --open
  mcp401 serve --listen 127.0.0.1:8401`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return hinted(fmt.Errorf("serve takes no file: %s", quote(args[0])), "drop it on the page, or: mcp401 analyze "+args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := web.Config{Version: Version}
			var err error
			if cfg.Limits.Bytes, err = bytesOf(most); err != nil {
				return hinted(fmt.Errorf("--max-upload %s: %w", quote(most), err), "as in 500M or 4G")
			}
			if cfg.Gateways, err = addresses("--gateway", in.gateways); err != nil {
				return err
			}
			if cfg.Upstreams, err = addresses("--upstream", in.upstreams); err != nil {
				return err
			}
			// The first signal ends the server, the second one finds the
			// default action again.
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop)
			return a.serveOn(ctx, listen, open, cfg)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:0", "`ADDR` to listen on, HOST:PORT; port 0 is a free one")
	f.BoolVar(&open, "open", false, "open the page in the browser ($BROWSER, or the system's)")
	f.StringVar(&most, "max-upload", "4G", "`SIZE` of one upload at most, all its files together, as in 500M")
	f.StringArrayVar(&in.gateways, "gateway", nil, "`HOST:PORT` of the gateway, where it is not recognised (repeatable)")
	f.StringArrayVar(&in.upstreams, "upstream", nil, "`HOST:PORT` of an MCP server behind it (repeatable)")
	return cmd
}

// serveOn serves on an address until ctx is over.
func (a *app) serveOn(ctx context.Context, listen string, open bool, cfg web.Config) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(serveMemory)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return hinted(fmt.Errorf("--listen %s: %w", quote(listen), err), "as in 127.0.0.1:8401; without it a free port is taken")
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr)
	address := &url.URL{Scheme: "http", Host: shownHost(at), Path: "/"}
	if !at.IP.IsLoopback() {
		cfg.Token = rand.Text()
		address.RawQuery = url.Values{"token": {cfg.Token}}.Encode()
		a.warn(hinted(fmt.Errorf("--listen %s: others on the network can see what is sent: it is not encrypted", quote(listen)),
			"with ssh -L 8401:127.0.0.1:8401 HOST the default address is enough"))
	}
	s, err := web.New(cfg)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := fmt.Fprintf(a.stdout, "%s  drop a HAR or a capture there; Ctrl-C ends it\n", address); err != nil {
		return err
	}
	if open {
		if err := browse(address.String()); err != nil {
			a.warn(hinted(fmt.Errorf("--open: %w", err), "open the address yourself"))
		}
	}
	return s.Serve(ctx, l)
}

// shownHost is the address as a URL has it; of any address, this machine's
// name.
func shownHost(at *net.TCPAddr) string {
	host := at.IP.String()
	if ip, ok := netip.AddrFromSlice(at.IP); ok && ip.IsUnspecified() {
		host = "localhost"
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(at.Port))
}

// browse opens an address in the user's browser, which goes on by itself.
func browse(address string) error {
	name, args := "xdg-open", []string{address}
	switch b := os.Getenv("BROWSER"); {
	case b != "":
		name = b
	case runtime.GOOS == "darwin":
		name = "open"
	case runtime.GOOS == "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// bytesOf reads a size: a number with K, M, G, T or nothing behind it, in powers of
// 1024.
func bytesOf(s string) (int64, error) {
	number, unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I"), int64(1)
	for i, letter := range []string{"K", "M", "G", "T"} {
		if rest, ok := strings.CutSuffix(number, letter); ok {
			number, unit = rest, 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > 1<<50/unit {
		return 0, errors.New("not a size")
	}
	return n * unit, nil
}
