package report

import (
	"bytes"
	"time"
)

// A Time is a moment on the capture's clock. In JSON it is RFC 3339 with the
// fraction that the capture has; a time that the capture does not give (the
// zero Time), or that RFC 3339 cannot write, is null.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	// A damaged packet may claim any year: encoding/json's own time fails
	// beyond 9999, and one packet must not cost the report.
	if y := t.Year(); t.IsZero() || y < 1 || y > 9999 {
		return []byte("null"), nil
	}
	b := make([]byte, 0, len(time.RFC3339Nano)+2)
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*t = Time{}
		return nil
	}
	return t.Time.UnmarshalJSON(b)
}

// In sets the zone in which the object's times are written. It changes what o
// points to.
func (o Object) In(zone *time.Location) {
	set := func(t *Time) {
		if !t.IsZero() {
			t.Time = t.Time.In(zone)
		}
	}
	switch {
	case o.Case != nil:
		set(&o.Case.Time)
		set(&o.Case.HeadTime)
		set(&o.Case.AnswerTime)
		for i := range o.Case.Upstream {
			set(&o.Case.Upstream[i].Time)
		}
	case o.Finding != nil:
		for i := range o.Finding.Evidence {
			set(&o.Finding.Evidence[i].Time)
		}
	case o.Exchange != nil:
		set(&o.Exchange.Time)
		set(&o.Exchange.AnswerTime)
	case o.Message != nil:
		set(&o.Message.Time)
	}
}
