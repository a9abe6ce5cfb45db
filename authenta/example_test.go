package authenta_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"time"

	"github.com/authenta/authenta-ingest/authenta"
	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// simulated starts a simulated platform, whose account can pay for some files, and returns a client of it.
func simulated(credits int) (*authenta.Client, func()) {
	platform, err := sandbox.New(sandbox.Options{
		Credits: credits, MutationQuota: sandbox.Unlimited, QueryQuota: sandbox.Unlimited, Latency: 20 * time.Millisecond,
		Outcome: func([32]byte) sandbox.Outcome { return sandbox.Outcome{Verdict: sandbox.Fake} },
	})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(platform)
	client, err := authenta.New(authenta.Options{
		BaseURL: server.URL,
		Credentials: func() (authenta.Credentials, error) {
			return authenta.Credentials{ClientID: "sandbox-id", ClientSecret: "sandbox-secret"}, nil
		},
	})
	if err != nil {
		panic(err)
	}
	return client, func() { server.Close(); platform.Close() }
}

// portrait makes a file to be judged.
func portrait() (*os.File, func()) {
	f, err := os.CreateTemp("", "portrait-*.jpg")
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteString("\xff\xd8\xff\xe0 a picture"); err != nil {
		panic(err)
	}
	return f, func() { f.Close(); os.Remove(f.Name()) }
}

// judge has one file judged: a record, the bytes, and the record again until it has a result.
func judge(ctx context.Context, client *authenta.Client, f *os.File) (authenta.Media, error) {
	info, err := f.Stat()
	if err != nil {
		return authenta.Media{}, err
	}
	m, err := client.Create(ctx, authenta.NewMedia{
		Name: authenta.Name("portrait.jpg", "9f86d081884c7d65"), ContentType: "image/jpeg", Size: info.Size(), Model: "AC-1",
	})
	if err != nil {
		return m, err
	}
	err = client.Upload(ctx, authenta.Upload{ID: m.ID, URL: m.UploadURL, ContentType: "image/jpeg", Size: info.Size()}, f)
	for err == nil && !m.Status.Final() {
		select {
		case <-ctx.Done():
			return m, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond): // against the real platform, ask as seldom as possible: each Get counts
		}
		m, err = client.Get(ctx, m.ID)
	}
	return m, err
}

// The whole way of a file.
func Example() {
	client, end := simulated(1)
	defer end()
	f, remove := portrait()
	defer remove()

	m, err := judge(context.Background(), client, f)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Status, "fake:", *m.Fake)
	// Output:
	// PROCESSED fake: true
}

// The kind of an error says what it means for the call, and MaybeDone whether it may have been carried out all the same.
func ExampleError() {
	client, end := simulated(0)
	defer end()

	_, err := client.Create(context.Background(), authenta.NewMedia{Name: "portrait", ContentType: "image/jpeg", Size: 1 << 20, Model: "AC-1"})
	e, ok := errors.AsType[*authenta.Error](err)
	switch {
	case !ok:
		fmt.Println("the record is made")
	case e.Kind == authenta.KindCredits:
		fmt.Println("no more files until the account is topped up:", e)
	case e.Kind == authenta.KindQuota:
		fmt.Println("no more calls of this kind:", e)
	case e.MaybeDone:
		fmt.Println("look for the record in the list before another is made:", e)
	}
	// Output:
	// no more files until the account is topped up: create media: platform answered 400 U007: Insufficient credits
}

// One page tells the states of many media, for the price of one Query.
func ExampleClient_List() {
	client, end := simulated(sandbox.Unlimited)
	defer end()
	ctx := context.Background()
	for _, name := range []string{"first", "second"} {
		if _, err := client.Create(ctx, authenta.NewMedia{Name: name, ContentType: "image/jpeg", Size: 100, Model: "AC-1"}); err != nil {
			fmt.Println(err)
			return
		}
	}

	page, err := client.List(ctx, authenta.ListOptions{Limit: 100})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range page.Media {
		fmt.Println(m.Name, m.Status)
	}
	// Unordered output:
	// first INITED
	// second INITED
}
