package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/cmd/internal/har"
)

func (a *app) har() *cobra.Command {
	var keylogs []string
	job := har.Job{Version: Version}
	cmd := &cobra.Command{
		Use:   "har FILE... -o OUT.har",
		Short: "write the HTTP exchanges of a packet capture as a HAR",
		Long: `har writes every HTTP exchange of a pcap or pcapng, of both hops, as HAR 1.2:
for the devtools of browsers, Charles, Fiddler, Insomnia and others. HTTP/2 and,
with a key log, TLS become entries like all others; bodies are decompressed,
server-sent events are text. "_frame" is the frame in which a request begins.

Secrets are replaced as by mcp401 redact, unless --with-secrets is given; then
only you may read the file. A connection that was refused or not answered is a
CONNECT with an error. How many calls have the same verdict in the HAR alone is
said at the end: it does not show where the capture has holes.`,
		Example: `  mcp401 har capture.pcap -o capture.har
  mcp401 har --with-secrets capture.pcap -o private.har`,
		Args: files,
		RunE: func(cmd *cobra.Command, names []string) error {
			if job.Out == "" {
				return hinted(errors.New("no output named"), cmd.CommandPath()+" "+names[0]+" -o OUT.har")
			}
			keys, err := readKeylogs(keylogs)
			if err != nil {
				return err
			}
			info, outErr := os.Stat(job.Out)
			job.Again = true
			for _, name := range names {
				in, err := os.Stat(name)
				job.Again = job.Again && err == nil && in.Mode().IsRegular()
				if err == nil && outErr == nil && os.SameFile(in, info) {
					return fmt.Errorf("-o %s: this is the file to be read", job.Out)
				}
			}
			job.Open = func() (capture.Source, error) {
				src, err := capture.Open(names, a.stdin, capture.Options{})
				if err != nil {
					return nil, err
				}
				return bundle.Keyed(src, keys), nil
			}
			res, err := har.File(job)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s: %s", printable(job.Out), count(res.Entries, "entry", "entries"))
			if res.Cases > 0 {
				fmt.Fprintf(a.stdout, "; %d of %s with the same verdict", res.Same, count(res.Cases, "call"))
			}
			if !job.Secrets {
				fmt.Fprintf(a.stdout, "; %s searched for, none found", count(res.Secrets, "credential"))
			}
			fmt.Fprintln(a.stdout)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&job.Out, "output", "o", "", "write to `FILE`, which appears when it is complete")
	f.StringArrayVar(&keylogs, "keylog", nil, "TLS key log `FILE` as written for SSLKEYLOGFILE (repeatable)")
	f.BoolVar(&job.Secrets, "with-secrets", false, "leave credentials and everything else as they are")
	f.BoolVar(&job.Hosts, "hosts", false, "give host names and addresses stand-ins too; loopback addresses stay")
	return cmd
}
