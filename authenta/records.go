package authenta

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// NewMedia is what the platform is told of a file before it gets it. It holds storage to ContentType and Size.
type NewMedia struct {
	Name        string `json:"name"`        // see the function Name
	ContentType string `json:"contentType"` // "video/mp4"
	Size        int64  `json:"size"`        // bytes
	Model       Model  `json:"modelType"`
}

// Create makes a media record and returns it with the URL to upload the file to. It is a Mutation and spends no credits.
func (c *Client) Create(ctx context.Context, n NewMedia) (Media, error) {
	var m Media
	err := c.do(ctx, call{op: OpCreate, method: http.MethodPost, body: n}, func(body []byte) (err error) {
		if m, err = decodeMedia(body, "", time.Now()); err != nil {
			return err
		}
		return c.checkUploadURL(ctx, m.UploadURL)
	})
	if err != nil {
		return Media{}, err
	}
	return m, nil
}

// Get returns a media record, with its result once there is one. It is a Query.
func (c *Client) Get(ctx context.Context, id MediaID) (Media, error) {
	var m Media
	err := c.one(ctx, call{op: OpGet, method: http.MethodGet, media: id}, func(body []byte) (err error) {
		m, err = decodeMedia(body, id, time.Now())
		m.UploadURL = scalar(m.UploadURL).webURL()
		return err
	})
	if err != nil {
		return Media{}, err
	}
	return m, nil
}

// Delete removes a media record. It is a Mutation. A record that is gone already is a KindNotFound.
func (c *Client) Delete(ctx context.Context, id MediaID) error {
	return c.one(ctx, call{op: OpDelete, method: http.MethodDelete, media: id}, func(body []byte) error {
		if len(body) > 0 && !json.Valid(body) {
			return errors.New("it is not JSON")
		}
		return nil
	})
}

// one is do for a call about one record, whose id becomes part of the path and so must be one.
func (c *Client) one(ctx context.Context, k call, decode func(body []byte) error) error {
	if _, err := ParseMediaID(string(k.media)); err != nil {
		return &Error{Op: k.op, Kind: KindRejected, Err: err}
	}
	return c.do(ctx, k, decode)
}
