package cli

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mcp401/cmd/internal/redact"
)

func (a *app) redact() *cobra.Command {
	var opt redact.Options
	var keylogs []string
	cmd := &cobra.Command{
		Use:   "redact IN OUT",
		Short: "write a capture that is safe to send: no secrets, the same verdicts",
		Long: `redact copies a pcap, pcapng or HAR and replaces everything in it that is not
known to be harmless: credentials, cookies, keys, mail addresses, tool arguments
and results. A stand-in is as long as what it replaces, and equal texts get
equal ones, so that lengths, TCP streams, both hops and verdicts stay. Of a JWT
exp, nbf, iat, aud, iss and scope stay. Routes, tool names and server names
stay; so do host names and addresses, unless --hosts is given.

HTTP/1 is masked where it stands. HTTP/2 and compressed bodies are made anew:
each frame stays in its place and carries what it brought, HTTP/2 with plain
header blocks and without settings, pings, pushes and trailers, bodies without
their content coding. What is neither HTTP nor TLS is blanked: DNS, other
protocols, codings that are not known.

TLS stays ciphertext, and keys are dropped. With --clear the connections with
HTTP in them that the keys open (--keylog, or those in a pcapng) become clear
text in the same way, on their own ports: handshakes become empty frames, and
each record stands in the frame that completed it. What is more than a frame
holds gets one behind it, which moves the numbers of the later ones; how many is
said. Keys never stand in OUT.

OUT appears only if it is proved: its verdicts are those of IN, each in the
frame that its own has become, and no credential of IN is found in it, as it is,
in base64, hex or escaped.`,
		Example: `  mcp401 redact capture.pcap safe.pcap
  mcp401 redact --hosts capture.pcap safe.pcap
  mcp401 redact --clear --keylog gateway.keys tls.pcap safe.pcap`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return hinted(fmt.Errorf("redact takes two files, not %d", len(args)), cmd.CommandPath()+" IN OUT")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(keylogs) > 0 && !opt.Clear {
				return hinted(errors.New("--keylog is of use with --clear only"), "without --clear TLS stays ciphertext, and OUT holds no keys")
			}
			keys, err := readKeylogs(keylogs)
			if err != nil {
				return err
			}
			opt.Keys = bytes.Join(keys, []byte("\n"))
			res, err := redact.File(args[0], args[1], opt)
			var e *redact.Error
			if errors.As(err, &e) && e.Hint != "" {
				err = hinted(err, e.Hint)
			}
			if err != nil {
				return err
			}
			for _, w := range res.Warnings {
				a.warn(errors.New(w.Text))
			}
			fmt.Fprintf(a.stdout, "%s: %s, %s with the same verdicts; %s searched for, none found\n",
				printable(args[1]), count(res.Records, "record"), count(res.Cases, "call"), count(res.Secrets, "credential"))
			if res.Opened > 0 {
				fmt.Fprintf(a.stdout, "%s written as clear text\n", count(res.Opened, "TLS connection"))
			}
			if res.Encrypted > 0 {
				fmt.Fprintf(a.stdout, "%s left encrypted: who has the keys can read them\n", count(res.Encrypted, "TLS connection"))
			}
			if res.Blank > 0 {
				fmt.Fprintf(a.stdout, "%s blanked as a whole\n", count(res.Blank, "connection or body", "connections or bodies"))
			}
			if res.Inserted > 0 {
				fmt.Fprintf(a.stdout, "%s inserted: later ones have higher numbers than in %s\n", count(res.Inserted, "frame"), printable(args[0]))
			}
			if len(res.HTTP2) > 0 {
				fmt.Fprint(a.stdout, "for HTTP/2 in Wireshark: wireshark")
				for _, port := range res.HTTP2 {
					fmt.Fprintf(a.stdout, " -d tcp.port==%d,http2", port)
				}
				fmt.Fprintf(a.stdout, " %s\n", printable(args[1]))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&opt.Clear, "clear", false, "write TLS that the keys open as clear text, masked like the rest")
	cmd.Flags().StringArrayVar(&keylogs, "keylog", nil, "TLS key log `FILE` for --clear, beside the keys in a pcapng (repeatable)")
	cmd.Flags().BoolVar(&opt.Hosts, "hosts", false, "give host names and addresses stand-ins too; loopback addresses stay")
	return cmd
}

// count is a number with its word.
func count(n int, word string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + word
	case len(many) > 0:
		return fmt.Sprintf("%d %s", n, many[0])
	}
	return fmt.Sprintf("%d %ss", n, word)
}
