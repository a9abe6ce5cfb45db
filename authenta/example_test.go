package authenta_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/authenta/authenta-ingest/authenta"
)

// A caller switches on the kind of an error to find out what to do with the call.
func Example() {
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/media/692f406f9f68d4b70080bb80" {
			fmt.Fprint(w, `{"mid":"692f406f9f68d4b70080bb80","status":"PROCESSED","fake":true,"confidence":0.98}`)
			return
		}
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"code":"AA001","type":"CLIENT_ERROR","message":"API limit reached"}`)
	}))
	defer platform.Close()

	client, err := authenta.New(authenta.Options{
		BaseURL: platform.URL,
		Credentials: func() (authenta.Credentials, error) {
			return authenta.Credentials{ClientID: "id", ClientSecret: "secret"}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	m, err := client.Get(context.Background(), "692f406f9f68d4b70080bb80")
	fmt.Println(m.Status, m.Status.Final(), *m.Fake, *m.Confidence, err)

	_, err = client.Create(context.Background(), authenta.NewMedia{
		Name: authenta.Name("clip.mp4", "9f86d081884c7d65"), ContentType: "video/mp4", Size: 1 << 20, Model: "DF-1",
	})
	if e, ok := errors.AsType[*authenta.Error](err); ok && e.Kind == authenta.KindQuota {
		fmt.Println("no uploads until the quota is raised:", e)
	}
	// Output:
	// PROCESSED true true 0.98 <nil>
	// no uploads until the quota is raised: create media: platform answered 429 AA001: API limit reached
}
