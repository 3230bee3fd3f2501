// Package capturetest turns conversations written as text into captures of
// every kind, and real captures into worse ones. It is for tests; it knows
// HTTP, TLS and TCP well enough to write them and reads none of them.
//
// The one trick: a script says what the peers said and what the capture missed
// of it, never how it was wrapped. One Conversation becomes pcap, pcapng or
// HAR, HTTP/1 or HTTP/2, under TLS, over IPv4 or IPv6, in tunnels, fragments and
// small segments, doubled, reordered or with holes, and every expectation finds
// its frame in each of them.
//
//	c := capturetest.MustParse(script)
//	w := c.Wrap(capturetest.Wrap{Format: capturetest.Pcapng, TLS: tls.VersionTLS13, Reorder: 1})
//	// w.Bytes is the file, w.Keys its key log, w.Expect what the script expects of which frame
//
// # The script
//
// A two-hop conversation in which a gateway hides a 401:
//
//	down> POST /passthru/mcp            => swallowed-401 token-rejected
//	  Authorization: Bearer bad
//	  rpc tools/list 7
//	down< 200 sse
//	  ...
//	passthru> POST /mcp
//	  Authorization: Bearer bad
//	  rpc initialize 0
//	passthru< 401 json
//	  WWW-Authenticate: Bearer error="invalid_token"
//	  {"error":"invalid_token"}
//	passthru. close
//	~ 250ms
//	down<< result tools 0
//
// A line is one step, and a step takes a millisecond. What is indented belongs
// to the step above it. "#" in the first column begins a comment.
//
// # Peers and connections
//
// The word before the arrow names the connection; without one it is the same
// as in the line before, or down at the start. "[up.2]" on a line of its own
// chooses a connection as well. A name is made up as it is needed:
//
//	down                  client (10.0.0.5) to gateway (10.0.1.1:4000)
//	passthru, up, ...     gateway to the peer of that name (10.0.2.N:910N, N in order of appearance)
//	down.2, passthru.2    one more connection between the same two peers
//
// or declared, before its first use:
//
//	client = 10.0.0.77                 a peer: an address, or address:port
//	passthru = 192.0.2.9:9101
//	alice = 10.0.0.6:40001 > gateway   a connection: peer > peer, each a name or an address
//	[up passthru]                      the same for gateway > passthru, and chooses it
//	start = 2026-11-23T08:00:00Z       when the first step happens
//
// A connection is opened by its first message. A message after its end opens
// it anew, from the next port (from the same one where a port was declared).
// Connections that the script does not end are open when the capture ends.
//
// # Messages
//
//	> POST /mcp chunked gzip HTTP/1.0    a request to the server: method, target, words
//	< 200 sse                            a response to the client: status, words
//	  Name: value                        header fields
//
//	  body                               verbatim, after an empty line
//	>> more, << more                     the body goes on; the text may also stand indented below
//	> "GET / HTTP/1.1\r\n\r\n"           a Go string goes out as it is, outside of any message
//
// The words: json, sse or any media type; chunked; gzip (content coding);
// close (the body ends with the connection); HTTP/1.0; "A Reason". Host,
// Content-Type, Accept (of rpc bodies), Content-Length or Transfer-Encoding are
// added where the script does not give them; sse is chunked by itself.
//
// A message is over at the end of its block, unless the last line is "...":
// then it goes on with ">>" or "<<". One that is never continued stays
// unfinished. Its Content-Length is true in any case (100 more than there is,
// if unfinished).
//
// These lines need no empty line before them; each is a body, or one event of
// an sse message:
//
//	{...} or [...]                        JSON
//	rpc METHOD ID [PARAMS]                a request: rpc tools/list 7, rpc tools/call 8 echo, rpc x "a" {"k":1}
//	rpc METHOD                            a notification
//	result tools 3                        tool_1 to tool_3; also names: result tools echo,search
//	result tools 0 meta passthru=auth_required/401 healthy=ok:3
//	                                      with _meta["litellm.ai/server_outcomes"]: STATUS[/HTTP][:COUNT]
//	result tools 1 next abc               with nextCursor
//	result init NAME                      of initialize, by the server of that name
//	result text TEXT, result fail TEXT    of tools/call; fail has isError
//	result {...}                          any other
//	error CODE TEXT [meta ...]            a JSON-RPC error
//	rest tools 3 [from SERVER]            what GET /mcp-rest/tools/list answers
//	rest error CODE TEXT                  an empty list with an error
//	ping                                  an sse comment
//	fill N                                N bytes
//
// An answer has the id of the request it answers; "id=9" as second word gives
// another: "result id=9 tools 0". In an sse message lines that begin with
// "data:", "event:", "id:", "retry:" or ":" are sent as they stand, and an empty
// line ends the event.
//
// # What else happens
//
//	~ 250ms               time passes
//	! gap 100             100 bytes of the open message were never captured, though acknowledged;
//	                      "gap 100 <" names the direction
//	! lost                the frames of the next step were never captured
//	! drops 12            the capturing side says that it lost 12 packets
//	. open                the handshake alone
//	. close               both directions, begun by the client; "close <" by the server
//	. fin >, . fin <      one direction
//	. reset               by the server; "reset >" by the client
//	. refused             the SYN is answered by a RST
//	. unanswered          three SYNs and no answer
//
// # Expectations
//
// What stands behind "=>" on the first line of a message is for the test: it
// comes back in Capture.Expect with the frame (or HAR entry) in which that
// message begins.
package capturetest
