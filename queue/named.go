package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Named is what a process names as the sources of media. It is remembered while its machine is away.
type Named struct {
	Subjects []string `json:"subjects,omitempty"`
	Roots    []string `json:"roots,omitempty"` // folders, of which it reads what references name
}

// A naming is the record of that.
type naming struct {
	Named
	At time.Time `json:"at"` // when a process was last there that names it
}

const (
	// keepEvery is how often a process tells that what it names is named still.
	keepEvery = 30 * time.Second
	// namedLife is for how long what a process has named counts beside what another one of its machine names.
	namedLife = 3 * time.Minute
)

// Keep tells, until ctx ends, that what this process names is named still, and has captured what is to be: that another process of
// this machine has gone, or was taken for gone during an outage, is noticed by those that are there. Its error is nil.
func (in *Intake) Keep(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := in.keep(ctx); err != nil && ctx.Err() == nil {
			in.q.Log.Debug("what is to be captured could not be looked at", "error", err)
		}
	}
}

func (in *Intake) keep(ctx context.Context) error {
	if err := in.q.name(ctx, in.host, in.names); err != nil {
		return err
	}
	wanted, err := in.q.wantedSubjects(ctx)
	if err != nil || slices.Equal(wanted, in.wanted) {
		return err
	}
	if _, err = in.q.capture(ctx, wanted); err == nil {
		in.wanted = wanted
	}
	return err
}

// name notes what a process names.
func (q *Queue) name(ctx context.Context, host string, n Named) error {
	data, err := json.Marshal(naming{n, time.Now().UTC()})
	if err == nil {
		_, err = q.publish(ctx, write{subject: q.control.subject(namedKey(host, n)), data: data, last: anySequence})
	}
	return err
}

// tellOthers says that other processes of this machine name something else. They may; but somebody may have forgotten one of them.
func (q *Queue) tellOthers(ctx context.Context, host string, n Named) error {
	all, err := q.namings(ctx)
	for key, other := range all {
		if host != "" && namedBy(key) == hostToken(host) && key != namedKey(host, n) {
			q.Log.Info("another process of this machine names other subjects or folders, or did so a moment ago: what each of them names is "+
				"taken in, until some minutes after the last one that names it has ended", "machine", host,
				"subjects", strings.Join(n.Subjects, ", "), "its_subjects", strings.Join(other.Subjects, ", "),
				"folders", strings.Join(n.Roots, ", "), "its_folders", strings.Join(other.Roots, ", "))
		}
	}
	return err
}

// namedKey is where what a process of a machine has named is remembered, together with others that name the same.
func namedKey(host string, n Named) string {
	if host == "" { // there is but one
		return namedPrefix + "_"
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q", slices.Sorted(slices.Values(n.Subjects)), slices.Sorted(slices.Values(n.Roots))))
	return namedPrefix + hostToken(host) + "." + hex.EncodeToString(sum[:6])
}

const namedPrefix = "named."

// named is what the processes of each machine name, whether or not they are there now: those that were there when the last one was.
func (q *Queue) named(ctx context.Context) ([]Named, error) {
	namings, err := q.namings(ctx)
	var all []Named
	for _, n := range namings {
		all = append(all, n.Named)
	}
	return all, err
}

// namings are the records of that which count, by their keys.
func (q *Queue) namings(ctx context.Context) (map[string]naming, error) {
	keys, err := q.control.Keys(ctx, namedPrefix+">")
	if err != nil {
		return nil, err
	}
	all, newest := map[string]naming{}, map[string]time.Time{}
	for _, key := range keys {
		e, err := q.control.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		var n naming
		if len(e.Data) > 0 && json.Unmarshal(e.Data, &n) != nil {
			q.Log.Warn("a machine's record of what it takes media from is damaged, and left out until it starts again", "record", key)
		}
		all[key] = n
		if host := namedBy(key); n.At.After(newest[host]) {
			newest[host] = n.At
		}
	}
	maps.DeleteFunc(all, func(key string, n naming) bool { return newest[namedBy(key)].Sub(n.At) > namedLife })
	return all, nil
}

// namedBy is the machine of a record's key.
func namedBy(key string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(key, namedPrefix), ".")
	return host
}

// wantedSubjects are those that any machine names, sorted.
func (q *Queue) wantedSubjects(ctx context.Context) ([]string, error) {
	named, err := q.named(ctx)
	var all []string
	for _, n := range named {
		all = append(all, n.Subjects...)
	}
	slices.Sort(all)
	return slices.Compact(all), err
}

// Roots are the folders of which some machine reads what references name, whether or not it is there now.
func (in *Intake) Roots(ctx context.Context) ([]string, error) {
	named, err := in.q.named(ctx)
	var all []string
	for _, n := range named {
		all = append(all, n.Roots...)
	}
	return all, err
}
