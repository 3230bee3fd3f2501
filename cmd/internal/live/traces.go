package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0" // the last one with the conventions for MCP
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"mcp401/decode/mcp"
	"mcp401/rules"
	"mcp401/rules/hop"
)

const (
	spansQueued = 2048        // spans that wait to be sent; calls beyond are dropped and counted
	spansSent   = 512         // in one request
	spansEvery  = time.Second // how long a span waits for others to go with it
	tracesFor   = time.Minute // how long a request is tried
	textMost    = 1024        // characters of an attribute
)

// A Traces sends each call as a trace to an OpenTelemetry collector, on
// goroutines of its own: Case never waits for it. A trace that does not fit in
// the queue is dropped whole.
//
// The queue, the spans and their encoding are the SDK's. The HTTP client is
// this package's own: the SDK's takes gRPC into the program, does not try again
// when the collector restarts, and writes the URL into its errors.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	upload   *uploader
	dropped  atomic.Int64
}

// NewTraces returns what sends to the http or https URL of a collector, where
// no path means /v1/traces. Header fields for it are taken from the environment
// as the SDK does: OTEL_EXPORTER_OTLP_TRACES_HEADERS, or else
// OTEL_EXPORTER_OTLP_HEADERS; so are OTEL_RESOURCE_ATTRIBUTES.
func NewTraces(to, version string) (*Traces, error) {
	if u, err := url.Parse(to); err == nil && (u.Path == "" || u.Path == "/") {
		u.Path = "/v1/traces"
		to = u.String()
	}
	header, err := headers("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
	if err != nil {
		return nil, err
	}
	if _, err := settings("OTEL_RESOURCE_ATTRIBUTES"); err != nil {
		return nil, err
	}
	header.Set("Content-Type", "application/x-protobuf")
	s, err := newSender(to, header, tracesFor)
	if err != nil {
		return nil, fmt.Errorf("--otlp: %w", err)
	}
	return newTraces(s, version)
}

func newTraces(s *sender, version string) (*Traces, error) {
	u := &uploader{sender: s}
	u.ctx, u.stop = context.WithCancel(context.Background())
	exporter, err := otlptrace.New(u.ctx, u)
	if err != nil {
		return nil, fmt.Errorf("--otlp: %w", err)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithResource(resource.NewSchemaless(semconv.ServiceName("mcp401"), semconv.ServiceVersion(version))),
		sdk.WithRawSpanLimits(sdk.SpanLimits{
			AttributeValueLengthLimit: textMost, AttributeCountLimit: 128, EventCountLimit: 2*callsTold + 1, LinkCountLimit: 1,
			AttributePerEventCountLimit: 16, AttributePerLinkCountLimit: 1,
		}),
		sdk.WithSpanProcessor(sdk.NewBatchSpanProcessor(exporter,
			sdk.WithMaxQueueSize(spansQueued), sdk.WithMaxExportBatchSize(spansSent), sdk.WithBatchTimeout(spansEvery),
			sdk.WithExportTimeout(0))), // the sender's own limit holds
	)
	tracer := provider.Tracer("mcp401", trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL))
	return &Traces{provider: provider, tracer: tracer, upload: u}, nil
}

// Case sends a case. It is for one goroutine.
func (t *Traces) Case(c *hop.Case, f rules.Finding) {
	n := int64(1 + min(len(c.Attempts), attemptsTold))
	// So many places are free in the SDK's queue, which would drop single spans
	// and not say so.
	if t.upload.waiting.Load()+n > spansQueued {
		t.dropped.Add(n)
		return
	}
	t.upload.waiting.Add(n)
	t.spans(c, f)
}

// Sent returns how many spans the collector took until now.
func (t *Traces) Sent() int64 { return t.upload.sent.Load() }

// Lost returns how many spans were lost until now.
func (t *Traces) Lost() int64 { return t.upload.lost.Load() + t.dropped.Load() }

// Fault returns why the last spans could not be sent, nil when they could.
func (t *Traces) Fault() error {
	if err := t.upload.ill.Load(); err != nil {
		return *err
	}
	return nil
}

// Close sends what waits, for as long as patience, and returns an error where
// spans were lost. Nothing is sent after it.
func (t *Traces) Close(patience time.Duration) error {
	timer := time.AfterFunc(patience, t.upload.stop)
	defer timer.Stop()
	err := t.provider.Shutdown(context.Background()) // ends soon after stop
	t.upload.stop()
	if t.Lost() == 0 {
		return err
	}
	err = fmt.Errorf("--otlp: %d spans sent, %d lost, %d dropped because others waited", t.Sent(), t.upload.lost.Load(), t.dropped.Load())
	if why := t.upload.why; why != nil {
		err = fmt.Errorf("%w; the last: %w", err, why)
	}
	return err
}

// An uploader is the HTTP client of the SDK's exporter, which calls it from one
// goroutine.
type uploader struct {
	sender              *sender
	ctx                 context.Context
	stop                context.CancelFunc
	waiting, sent, lost atomic.Int64          // spans
	why                 error                 // of the last loss; valid after the exporter's end
	ill                 atomic.Pointer[error] // why the last request was lost; nil: it was not
}

// Start has nothing to do.
func (u *uploader) Start(context.Context) error { return nil }

// Stop has nothing to do.
func (u *uploader) Stop(context.Context) error { return nil }

// UploadTraces posts spans. A failure is counted and not returned: nobody but
// the SDK's log would take it.
func (u *uploader) UploadTraces(_ context.Context, list []*tracepb.ResourceSpans) error {
	n := int64(0)
	for _, r := range list {
		for _, s := range r.ScopeSpans {
			n += int64(len(s.Spans))
			for _, span := range s.Spans {
				valid(span)
			}
		}
	}
	defer u.waiting.Add(-n)
	// On the wire this is the request of the collector's service, whose type
	// comes with gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: list})
	var answer []byte
	if err == nil {
		answer, err = u.sender.send(u.ctx, body)
	}
	if err != nil {
		u.lost.Add(n)
		if u.why == nil || u.ctx.Err() == nil { // the end of patience is no reason
			u.why = err
		}
		u.ill.Store(&err)
		return nil
	}
	u.ill.Store(nil)
	refused := min(rejected(answer), n)
	if refused > 0 {
		u.lost.Add(refused)
		u.why = errors.New("the collector refused some of them")
	}
	u.sent.Add(n - refused)
	return nil
}

// valid replaces what is no UTF-8, which anybody may send: one such string would
// keep all spans of the request from being encoded.
func valid(s *tracepb.Span) {
	fix := func(s *string) { *s = strings.ToValidUTF8(*s, "\ufffd") }
	attributes := func(list []*commonpb.KeyValue) {
		for _, kv := range list {
			values := []*commonpb.AnyValue{kv.Value}
			if a := kv.Value.GetArrayValue(); a != nil {
				values = a.Values
			}
			for _, v := range values {
				if text, ok := v.Value.(*commonpb.AnyValue_StringValue); ok {
					fix(&text.StringValue)
				}
			}
		}
	}
	fix(&s.Name)
	if s.Status != nil {
		fix(&s.Status.Message)
	}
	attributes(s.Attributes)
	for _, e := range s.Events {
		attributes(e.Attributes)
	}
}

// rejected is the number of spans that a collector refused of those it was
// sent: ExportTraceServiceResponse.partial_success.rejected_spans of
// opentelemetry/proto/collector/trace/v1, 0 for what is none.
func rejected(answer []byte) int64 {
	const partialSuccess, rejectedSpans = 1, 1
	partial, _ := field(answer, partialSuccess)
	_, n := field(partial, rejectedSpans)
	return max(0, int64(n))
}

// field finds a field of a message in protobuf's encoding.
func field(b []byte, want protowire.Number) (bytes []byte, varint uint64) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, 0
		}
		b = b[n:]
		if number == want && kind == protowire.BytesType {
			bytes, _ = protowire.ConsumeBytes(b)
		} else if number == want && kind == protowire.VarintType {
			varint, _ = protowire.ConsumeVarint(b)
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return nil, 0
		}
		b = b[n:]
	}
	return bytes, varint
}

// headers reads header fields from the first of these environment variables
// that is set. No error has a value in it.
func headers(variables ...string) (http.Header, error) {
	h := http.Header{}
	for _, variable := range variables {
		list, err := settings(variable)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			if strings.ContainsFunc(p.name, notToken) || strings.ContainsFunc(p.value, unicode.IsControl) {
				return nil, fmt.Errorf("%s: not the name and value of a header field", variable)
			}
			h.Set(p.name, p.value)
		}
		if len(list) > 0 {
			break
		}
	}
	return h, nil
}

// notToken reports what stands in no name of a field (RFC 9110 section 5.6.2).
func notToken(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
}

type setting struct{ name, value string }

// settings reads an environment variable of the form name=value,name=value, with
// values that are percent-encoded.
func settings(variable string) ([]setting, error) {
	var list []setting
	text := os.Getenv(variable)
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for i, entry := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(entry, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, fmt.Errorf("%s: entry %d is not name=value", variable, i+1)
		}
		list = append(list, setting{name, value})
	}
	return list, nil
}

// linked is the link to the span of the asker's own, if it sent one.
func linked(x mcp.TraceParent) []trace.Link {
	if x.Trace == [16]byte{} {
		return nil
	}
	return []trace.Link{{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: x.Trace, SpanID: x.Span, TraceFlags: trace.TraceFlags(x.Flags), Remote: true,
	})}}
}
