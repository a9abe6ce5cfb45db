package main

import (
	"strings"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

func TestATableOfAnswersIsAlignedWhateverIsInIt(t *testing.T) {
	t.Parallel()
	sure := 0.984
	head := func(model queue.Model, uri string) queue.Head { return queue.Head{Model: model, URI: uri} }
	judged := func(h queue.Head, o queue.Outcome, sure *float64) queue.Terminal {
		return queue.Terminal{Verdict: &queue.Verdict{Head: h, Judgement: queue.Judgement{Outcome: o, Confidence: sure}}}
	}
	failed := func(h queue.Head, r queue.Reason, message string) queue.Terminal {
		return queue.Terminal{Failure: &queue.Failure{Head: h, Fault: queue.Fault{Reason: r, Message: message}}}
	}
	var out strings.Builder
	p := verdictPrinter{out: &out}
	if err := p.begin(); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 7, 1, 9, 5, 0, 0, time.Local)
	for i, m := range []queue.Terminal{
		judged(head("DF-1", "file:///srv/inbox/clip%201.mp4"), queue.Fake, &sure),
		judged(head("AC-1", "file:///srv/inbox/%E4%BC%9A%E8%AD%B0%E3%80%80%E9%8C%B2%E7%94%BB.jpg"), queue.Inconclusive, nil),
		judged(head("会議", "file:///srv/inbox/b.jpg"), "本物", &sure), // no daemon of ours says so
		failed(head("", "file:///srv/inbox/note.txt"), queue.Unsupported, "a file of type text/plain\nis no image"),
		failed(head("DF-1-longer", "file:///srv/inbox/%1b%5b2J.mp4"), queue.AnalysisFailed, "no\x1b[1m"),
		judged(head("DF-1", "https://media.example/a.mp4"), queue.Real, new(1.0)),
	} {
		m.At = at.Add(time.Duration(i) * time.Second)
		if err := p.print(m); err != nil {
			t.Fatal(err)
		}
	}
	const want = `
TIME                 OUTCOME           SURE  MODEL  FILE
2026-07-01 09:05:00  fake              98 %  DF-1   /srv/inbox/clip 1.mp4
2026-07-01 09:05:01  inconclusive            AC-1   /srv/inbox/会議　録画.jpg
2026-07-01 09:05:02  本物              98 %  会議   /srv/inbox/b.jpg
2026-07-01 09:05:03  unsupported                    /srv/inbox/note.txt: a file of type text/plain is no image
2026-07-01 09:05:04  analysis_failed         DF-1-longer  "/srv/inbox/\x1b[2J.mp4": "no\x1b[1m"
2026-07-01 09:05:05  real             100 %  DF-1         https://media.example/a.mp4
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("printed%swant%s", got, want)
	}
}

func TestNamesOfPeopleAreLegibleAndOrdersToTheTerminalAreNot(t *testing.T) {
	t.Parallel()
	for _, fine := range []string{
		"", "clip.mp4", "Übung — “quoted”.mov", "Screenshot 2026-07-01 at 9.05.00\u202fAM.png", "会議　録画.mp4", "می\u200cخواهم.jpg", "👩\u200d👧 \u2764\ufe0f.jpg",
	} {
		if got := legible(fine); got != fine {
			t.Errorf("%q is shown as %s", fine, got)
		}
	}
	for _, bad := range []string{"a\x1b[2Jb", "a\nb", "\x9b31m", "\u009b31m", "a\u202egnp.exe", "\xff", "a\tb", "a\u2028b", "\x00", "\u2066x"} {
		if got := legible(bad); strings.ContainsFunc(got, unreadable) || got[0] != '"' {
			t.Errorf("%q is shown as %s", bad, got)
		}
	}
}

func TestSinceIsReadAsPeopleWriteIt(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("there", 2*60*60)
	now := time.Date(2026, 7, 1, 12, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"":                          {},
		"90m":                       now.Add(-90 * time.Minute),
		"1h30m":                     now.Add(-90 * time.Minute),
		"7d":                        now.AddDate(0, 0, -7),
		"0.5d":                      now.Add(-12 * time.Hour),
		"2026-06-30":                time.Date(2026, 6, 30, 0, 0, 0, 0, zone),
		"2026-06-30 09:05":          time.Date(2026, 6, 30, 9, 5, 0, 0, zone),
		"2026-06-30 09:05:07":       time.Date(2026, 6, 30, 9, 5, 7, 0, zone),
		"2026-06-30T09:05:07":       time.Date(2026, 6, 30, 9, 5, 7, 0, zone),
		"2026-06-30T09:05:07Z":      time.Date(2026, 6, 30, 9, 5, 7, 0, time.UTC),
		"2026-06-30T09:05:07+01:00": time.Date(2026, 6, 30, 8, 5, 7, 0, time.UTC),
		"09:05":                     time.Date(2026, 7, 1, 9, 5, 0, 0, zone),
		"09:05:07":                  time.Date(2026, 7, 1, 9, 5, 7, 0, zone),
	} {
		got, err := parseSince(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "5", "-1h", "0s", "0d", "-1d", "NaNd", "Infd", "1e300d", "2026-13-01", "13:00", "2026-07-02", "2026-07-01T13:00:00", "1h ago", "d"} {
		if got, err := parseSince(text, now); err == nil || !strings.HasPrefix(err.Error(), "--since "+`"`+text+`": `) {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
}
