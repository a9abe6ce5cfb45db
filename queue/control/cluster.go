package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/authenta/authenta-ingest/queue"
)

// How presence is told: a member whose last sign is older than the TTL is gone. The broker counts TTLs in seconds.
const (
	presenceTTL = 6 * time.Second
	signEvery   = 2 * time.Second
)

// turnTime is how long one turn of the loop that gives signs of life may take: a change of a record is tried on while NATS is
// away.
const turnTime = 20 * time.Second

// The keys of the bucket.
const (
	uploadsKey   = "gate.uploads"
	pollsKey     = "gate.polls"
	budgetKey    = "budget"
	memberPrefix = "worker."
)

// Options say what a process brings into the cluster.
type Options struct {
	Queue         *queue.Queue
	MutationRate  float64               // creates per second, of the whole cluster
	QueryRate     float64               // polls and list pages per second, of the whole cluster
	MutationQuota int                   // creates granted in all, counted for the whole cluster; 0: not known
	QueryQuota    int                   // polls and list pages granted in all, likewise
	Version       string                // of the program, for those who look
	Role          Role                  // default RoleAll
	Host          string                // the machine's name, the same for all processes that see the same files; default Machine()
	Boot          string                // tells the machine from others that have the same name by mistake, see Boot; empty: they are one
	Dirs          []string              // the folders that it watches, absolute
	Log           *slog.Logger          // default slog.Default()
	Metrics       prometheus.Registerer // nil: nothing is exported
	Beat          func()                // called by the loop that gives signs of life each time that it turns, twice a minute at least; default: nothing
}

// A Cluster is a process's place among those that work on the same queue. New starts nothing; Run does all.
type Cluster struct {
	Options
	Self      Member
	Uploads   *Gate // closed while nothing may be uploaded
	Polls     *Gate // closed while no result may be asked for
	Mutations *Pacer
	Queries   *Pacer
	Budget    *Budget

	confused bool // it was said that another machine has the same name; only of stay

	synced chan struct{} // closed when the records are mirrored and the cluster knows of this process
	tells  chan telling  // events to publish

	mu      sync.Mutex
	members map[string]sighting
	sent    time.Time           // when this process last gave a sign of life
	signed  time.Time           // when it gave the last one that the cluster has heard
	lapsed  time.Time           // until when it is to be quiet after the cluster had given it up
	heard   chan struct{}       // closed and replaced when signed changes
	awaited map[string]struct{} // machines of which was said that files wait for them
}

// New returns the place of this process.
func New(o Options) *Cluster {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Role == "" {
		o.Role = RoleAll
	}
	if o.Host == "" {
		o.Host = Machine()
	}
	if o.Beat == nil {
		o.Beat = func() {}
	}
	c := &Cluster{
		Options: o, synced: make(chan struct{}), tells: make(chan telling, 64), members: map[string]sighting{}, heard: make(chan struct{}),
		awaited: map[string]struct{}{},
		Self: Member{
			ID: strings.ToLower(rand.Text()[:12]), Host: o.Host, Boot: o.Boot, PID: os.Getpid(), Role: o.Role, Dirs: o.Dirs, Version: o.Version, Since: now(),
		},
	}
	c.Uploads = newGate("uploads", c.Self.String(), c.entry(uploadsKey), c.telling("uploads"), o.Log)
	c.Polls = newGate("polls", c.Self.String(), c.entry(pollsKey), c.telling("polls"), o.Log)
	c.Mutations, c.Queries = newPacer(o.MutationRate, c.present), newPacer(o.QueryRate, c.present)
	c.Budget = &Budget{queue: o.Queue, record: c.entry(budgetKey), id: c.Self.ID}
	if o.Metrics != nil {
		o.Metrics.MustRegister(gateCollector{uploads: c.Uploads, polls: c.Polls}, &collector{cluster: c})
	}
	return c
}

// Synced returns when this process knows what the cluster has agreed on, and the cluster knows of it. No call may be made
// before. Its error is ctx's.
func (c *Cluster) Synced(ctx context.Context) error {
	select {
	case <-c.synced:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run follows the cluster and shows this process to it until ctx ends, and then takes its leave.
func (c *Cluster) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	mirrored := make(chan struct{})
	g.Go(func() error {
		fresh := false
		return c.Queue.Control().Follow(ctx, func(e *queue.Entry) {
			if e == nil {
				fresh = true
				close(mirrored)
				return
			}
			c.receive(ctx, *e, fresh)
		})
	})
	g.Go(func() error { return c.publish(ctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-mirrored:
		}
		return c.stay(ctx)
	})
	g.Go(func() error {
		if c.Synced(ctx) != nil {
			return nil
		}
		return c.serve(ctx)
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("follow the cluster: %w", err)
	}
	return nil
}

// stay shows this process to the cluster until ctx ends.
func (c *Cluster) stay(ctx context.Context) error {
	if c.Self.Role.Works() { // others need not know what the account was granted
		if err := c.Budget.Grant(ctx, c.MutationQuota, c.QueryQuota); err != nil && ctx.Err() == nil {
			return err
		}
	}
	c.reconsider(ctx) // before anybody asks what is paused
	defer c.leave()
	tick := time.NewTicker(signEvery)
	defer tick.Stop()
	for {
		c.Beat()
		c.turn(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// turn gives a sign of life, and does what the time has come for.
func (c *Cluster) turn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	err := c.sign(ctx)
	c.forget()
	c.welcome()
	c.tellNamesakes()
	if err != nil { // then NATS takes nothing else either
		c.Log.Debug("no sign of life could be given", "error", err)
		return
	}
	c.reconsider(ctx)
	c.Uploads.lift(ctx)
	c.Polls.lift(ctx)
}

// sign tells the cluster that this process is there.
func (c *Cluster) sign(ctx context.Context) error {
	data, err := json.Marshal(c.Self)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.sent = time.Now()
	c.mu.Unlock()
	return c.Queue.Control().Announce(ctx, memberPrefix+c.Self.ID, data, presenceTTL)
}

// echo takes note that this process hears its own sign of life: the cluster knows of it, and it of the cluster.
func (c *Cluster) echo() {
	c.mu.Lock()
	first := c.signed.IsZero()
	if !first && time.Since(c.signed) > presenceTTL { // others use this process's share until they have heard of it
		c.lapsed = time.Now().Add(2 * signEvery)
	}
	c.signed = c.sent
	close(c.heard)
	c.heard = make(chan struct{})
	c.mu.Unlock()
	if first {
		c.say(c.Self.event("joined"), c.Self.ID, c.Self)
		close(c.synced)
	}
}

// leave gives this process's share back at once.
func (c *Cluster) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := c.Queue.Control().Remove(ctx, memberPrefix+c.Self.ID); err != nil {
		c.Log.Debug("the others will find out that this process has left", "error", err)
	}
}

// Here reports whether the cluster counts this process in now: NATS has taken a sign of life that is not too old.
func (c *Cluster) Here() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here()
}

// here is Here for those who hold the lock.
func (c *Cluster) here() bool { return time.Since(c.signed) < presenceTTL }

// present returns when the cluster counts this process in: otherwise others use its share.
func (c *Cluster) present(ctx context.Context) error {
	for {
		c.mu.Lock()
		here := c.here()
		quiet, heard := time.Until(c.lapsed), c.heard
		c.mu.Unlock()
		if here && quiet <= 0 {
			return nil
		}
		alarm := make(<-chan time.Time)
		if here {
			alarm = time.After(quiet)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-heard:
		case <-alarm:
		}
	}
}

// receive takes note of a record. fresh: it was written just now.
func (c *Cluster) receive(ctx context.Context, e queue.Entry, fresh bool) {
	switch id, member := strings.CutPrefix(e.Key, memberPrefix); {
	case member:
		c.meet(id, e.Data, fresh)
	case e.Key == uploadsKey:
		c.Uploads.mirror(decode(e.Data), e.Revision, fresh)
	case e.Key == pollsKey:
		c.Polls.mirror(decode(e.Data), e.Revision, fresh)
	case e.Key == budgetKey:
		if err := c.Budget.load(e.Data, e.Revision); err != nil {
			c.Log.Warn("calls cannot be counted", "error", err)
			return
		}
		if fresh {
			c.reconsider(ctx)
		}
	}
}

// meet takes note that a member is there, or with no data that it is gone.
func (c *Cluster) meet(id string, data []byte, fresh bool) {
	var m Member
	if len(data) > 0 && json.Unmarshal(data, &m) == nil {
		c.mu.Lock()
		c.members[id] = sighting{m, time.Now()}
		c.mu.Unlock()
		if fresh && id == c.Self.ID {
			c.echo()
		}
		c.resize()
		return
	}
	c.miss(id)
}

// miss strikes a member off.
func (c *Cluster) miss(id string) {
	c.mu.Lock()
	gone, known := c.members[id]
	delete(c.members, id)
	c.mu.Unlock()
	if known && id != c.Self.ID {
		c.say(gone.event("left"), id, gone.Member)
		c.resize()
	}
}

// forget strikes off the members of whom nothing was heard for longer than their records live: the news of a record's end
// may have been missed.
func (c *Cluster) forget() {
	c.mu.Lock()
	var silent []string
	for id, m := range c.members {
		if time.Since(m.at) > presenceTTL+2*signEvery {
			silent = append(silent, id)
		}
	}
	c.mu.Unlock()
	for _, id := range silent {
		c.miss(id)
	}
}

// resize shares the rates out anew, among those that make calls.
func (c *Cluster) resize() {
	n := c.Size()
	c.Mutations.share(n)
	c.Queries.share(n)
}

// reconsider opens the gates that the budget has closed and no longer does.
func (c *Cluster) reconsider(ctx context.Context) {
	if c.Uploads.State().Why != Spent && c.Polls.State().Why != Spent {
		return
	}
	upload, query, err := c.Budget.covers(ctx)
	if err != nil {
		return // asked again soon
	}
	if query {
		c.Polls.openIf(ctx, Spent)
	}
	if upload {
		c.Uploads.openIf(ctx, Spent)
	}
}

// An entry is one record of the control bucket.
type entry struct {
	bucket *queue.Bucket
	key    string
}

func (c *Cluster) entry(key string) entry { return entry{c.Queue.Control(), key} }

func (e entry) get(ctx context.Context) ([]byte, uint64, error) {
	found, err := e.bucket.Get(ctx, e.key)
	return found.Data, found.Revision, err
}

func (e entry) put(ctx context.Context, data []byte, over uint64) (uint64, error) {
	return e.bucket.Put(ctx, e.key, data, over)
}
