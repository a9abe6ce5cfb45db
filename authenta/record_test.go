package authenta

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

var received = time.Date(2025, 12, 2, 10, 0, 0, 0, time.UTC)

func TestRecordsAreDecodedLeniently(t *testing.T) {
	created := time.Date(2025, 12, 2, 9, 59, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		json string
		want Media
	}{
		"a new record": {
			`{"mid":"692f","name":"clip-0123abcd","type":"Video","status":"INITED","modelType":"DF-1",
			  "createdAt":"2025-12-02T09:59:00Z","uploadUrl":"https://s3/x?X-Amz-Date=20251202T095900Z&X-Amz-Expires=3600"}`,
			Media{ID: "692f", Name: "clip-0123abcd", Type: "Video", Status: StatusInited, Model: "DF-1", CreatedAt: created,
				UploadURL:     "https://s3/x?X-Amz-Date=20251202T095900Z&X-Amz-Expires=3600",
				UploadExpires: received.Add(time.Hour)},
		},
		"a platform whose clock is a day behind": {
			`{"mid":"692f","uploadUrl":"https://s3/x?X-Amz-Date=20251201T100000Z&X-Amz-Expires=600"}`,
			Media{ID: "692f", UploadURL: "https://s3/x?X-Amz-Date=20251201T100000Z&X-Amz-Expires=600", UploadExpires: received.Add(10 * time.Minute)},
		},
		"an expiresIn of nothing": {
			`{"mid":"692f","uploadUrl":"https://s3/x?X-Amz-Expires=600","expiresIn":0}`,
			Media{ID: "692f", UploadURL: "https://s3/x?X-Amz-Expires=600", UploadExpires: received.Add(10 * time.Minute)},
		},
		"a negative expiresIn": {
			`{"mid":"692f","uploadUrl":"https://s3/x?X-Amz-Expires=600","expiresIn":-3600}`,
			Media{ID: "692f", UploadURL: "https://s3/x?X-Amz-Expires=600", UploadExpires: received.Add(10 * time.Minute)},
		},
		"an expiresIn beyond all reason": {
			`{"mid":"692f","uploadUrl":"https://s3/x?X-Amz-Expires=600","expiresIn":1e300}`,
			Media{ID: "692f", UploadURL: "https://s3/x?X-Amz-Expires=600", UploadExpires: received.Add(10 * time.Minute)},
		},
		"a life beyond all reason": {
			`{"mid":"692f","uploadUrl":"https://s3/x?X-Amz-Expires=99999999999"}`,
			Media{ID: "692f", UploadURL: "https://s3/x?X-Amz-Expires=99999999999"},
		},
		"expiresIn goes before the URL": {
			`{"mid":"692f","uploadUrl":"https://s3/x?Expires=1","expiresIn":"60"}`,
			Media{ID: "692f", UploadURL: "https://s3/x?Expires=1", UploadExpires: received.Add(time.Minute)},
		},
		"a signature of version 2": {
			`{"mid":"692f","uploadUrl":"https://s3/x?Expires=1764673140"}`,
			Media{ID: "692f", UploadURL: "https://s3/x?Expires=1764673140", UploadExpires: created.Add(time.Hour)},
		},
		"a signature of version 2 that is over when it comes": {
			`{"mid":"692f","uploadUrl":"https://s3/x?Expires=1764669540"}`,
			Media{ID: "692f", UploadURL: "https://s3/x?Expires=1764669540"},
		},
		"an image": {
			`{"id":"692f","status":"processed","size":20480,"fake":true,"confidence":0.98,
			  "heatmapURL":"https://s3/h?a=b","resultURL":"https://s3/r?a=b","srcURL":"https://s3/s?a=b"}`,
			Media{ID: "692f", Status: StatusProcessed, Size: 20480, Fake: new(true), Confidence: new(0.98),
				HeatmapURL: "https://s3/h?a=b", ResultURL: "https://s3/r?a=b", SourceURL: "https://s3/s?a=b"},
		},
		"a video whose values are strings": {
			`{"mid":"692f","status":" Processed ","size":"7","faces":"2","deepFakes":"1.0","participants":[
			  {"id":"1","fake":"true","confidence":"0.5","heatmap":"https://s3/h"},{"id":2,"fake":"False"},"what?"]}`,
			Media{ID: "692f", Status: StatusProcessed, Size: 7, Faces: new(2), Deepfakes: new(1), Participants: []Participant{
				{ID: 1, Fake: new(true), Confidence: new(0.5), Heatmap: "https://s3/h"}, {ID: 2, Fake: new(false)}}},
		},
		"what makes no sense is not said": {
			`{"mid":"692f","status":"Queued","size":-1,"faces":1.5,"deepFakes":"many","fake":"perhaps","confidence":"NaN",
			  "createdAt":"yesterday","participants":{},"uploadUrl":null,"name":{"a":1}}`,
			Media{ID: "692f", Status: "QUEUED"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeMedia([]byte(tt.json), "", received)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v\n%s\nwant\n%s", err, asJSON(got), asJSON(tt.want))
			}
		})
	}
}

func asJSON(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestARecordIsOnlyTakenForTheOneThatWasAskedFor(t *testing.T) {
	for body, taken := range map[string]bool{
		`{"mid":"692f","status":"INITED"}`: true,
		`{"status":"INITED"}`:              true,
		`{"mid":"other","status":"X"}`:     false,
		`{"mid":"../x","status":"X"}`:      false,
		`{}`:                               false,
		`null`:                             false,
		`[]`:                               false,
		`<html>`:                           false,
	} {
		if m, err := decodeMedia([]byte(body), "692f", received); (err == nil) != taken || taken && m.ID != "692f" {
			t.Errorf("%s: got %q, %v", body, m.ID, err)
		}
	}
}

func TestAPageSaysWhatThePlatformDid(t *testing.T) {
	got, err := decodePage([]byte(`{"limit":"2","offset":4,"total":9,"data":[
		{"mid":"a","status":"PROCESSED","fake":false},{"mid":"no id"},7,{"id":"b","status":"new"}]}`), received)
	want := Page{Limit: 2, Offset: 4, Total: 9, Media: []Media{
		{ID: "a", Status: StatusProcessed, Fake: new(false)}, {ID: "b", Status: "NEW"}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\n%s\nwant\n%s", err, asJSON(got), asJSON(want))
	}
	if p, err := decodePage([]byte(`{"total":0,"data":[]}`), received); err != nil || len(p.Media) != 0 {
		t.Errorf("an empty page: got %v, %v", p, err)
	}
	for _, body := range []string{`{}`, `{"data":null}`, `{"data":{}}`, `[]`, ``} {
		if _, err := decodePage([]byte(body), received); err == nil {
			t.Errorf("%s was taken for a page", body)
		}
	}
}

func TestOnlyDocumentedEndsAreFinal(t *testing.T) {
	for s, want := range map[Status]bool{
		StatusInited: false, StatusUploaded: false, StatusProcessed: true, StatusFailed: true, StatusError: true,
		"": false, "PROCESSING": false,
	} {
		if s.Final() != want {
			t.Errorf("%q: got %t", s, !want)
		}
	}
}
