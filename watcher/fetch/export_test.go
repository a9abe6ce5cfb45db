package fetch

import "net/url"

// Allowed returns nil if u may be fetched as far as it shows by itself, and otherwise an [*Error] of kind NotAllowed. What
// its name leads to is not looked up.
func (f *Fetcher) Allowed(u *url.URL) error {
	_, err := f.target(u)
	if err != nil {
		return &Error{Kind: NotAllowed, URL: Redacted(u.String()), Err: err}
	}
	return nil
}
