package control

import (
	"context"
	"time"

	"github.com/authenta/authenta-ingest/queue"
)

// recentFailures is how many of the last failures a status shows.
const recentFailures = 5

// A Status is how the cluster is doing, as the control service tells it.
type Status struct {
	At        time.Time       `json:"at"`
	Namespace string          `json:"namespace"`
	Platform  string          `json:"platform"`
	Queued    int             `json:"queued"`            // files that wait for their upload, or are uploaded now
	Awaiting  int             `json:"awaiting"`          // media whose result is awaited
	Waiting   []HostStatus    `json:"waiting,omitempty"` // of the queued ones, those for workers of single machines
	Intake    IntakeStatus    `json:"intake"`
	Messages  int             `json:"messages"` // on subjects, that are not taken in yet; but for those of others' streams
	Uploads   GateStatus      `json:"uploads"`
	Polls     GateStatus      `json:"polls"`
	Budget    *BudgetStatus   `json:"budget,omitempty"` // nil: nothing is counted
	Rates     Rates           `json:"rates"`
	Workers   []Member        `json:"workers"`
	Namesakes []string        `json:"namesakes,omitempty"` // names that more than one machine has: each needs its own
	Failures  []queue.Failure `json:"failures"`            // the last ones, newest first
	Mended    queue.Mended    `json:"mended"`              // since the store is there
}

// A HostStatus says what waits for the workers of a machine, because others cannot read it.
type HostStatus struct {
	Host  string `json:"host"`
	Files int    `json:"files"` // under one model each
	Works bool   `json:"works"` // whether one runs there
}

// An IntakeStatus says whether files are taken in.
type IntakeStatus struct {
	Paused  bool   `json:"paused"`
	Message string `json:"message,omitempty"` // why not
}

// A GateStatus says whether calls of a kind are made.
type GateStatus struct {
	Paused bool `json:"paused"`
	State
	WaitsFor string `json:"waits_for,omitempty"` // "polls": uploads that wait because results could not be fetched
}

// A BudgetStatus says what is left of the calls that were granted.
type BudgetStatus struct {
	Mutation *CountStatus `json:"mutation,omitempty"` // nil: not known
	Query    *CountStatus `json:"query,omitempty"`
	Files    int          `json:"files_left"` // how many more files the rest will do, with 1.5 Query calls each
}

// A CountStatus is a count, and what is left of it.
type CountStatus struct {
	Count
	Left int `json:"left"`
}

// Rates are the calls per second that the whole cluster makes at most.
type Rates struct {
	Mutation float64 `json:"mutation"`
	Query    float64 `json:"query"`
}

// Status asks the broker and the records how the cluster is doing.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	depths, err := c.Queue.Depths(ctx)
	if err != nil {
		return Status{}, err
	}
	failures, err := c.Queue.RecentFailures(ctx, recentFailures)
	if err != nil {
		return Status{}, err
	}
	mended, err := c.Queue.Mended(ctx)
	if err != nil {
		return Status{}, err
	}
	waiting, err := c.Waiting(ctx)
	if err != nil {
		return Status{}, err
	}
	untaken, err := c.Queue.Untaken(ctx)
	if err != nil {
		return Status{}, err
	}
	s := Status{
		At: now(), Namespace: string(c.Queue.Namespace), Platform: c.Queue.Platform,
		Queued: depths.Upload, Awaiting: depths.Await, Waiting: waiting, Messages: untaken,
		Budget: c.Budget.Counts().status(depths.Await), Rates: Rates{c.MutationRate, c.QueryRate},
		Workers: c.Members(), Namesakes: c.Namesakes(), Failures: failures, Mended: mended,
	}
	if err := c.Queue.Room(ctx); err != nil {
		s.Intake = IntakeStatus{Paused: true, Message: err.Error()}
	}
	s.Uploads, s.Polls = c.Gates()
	return s, nil
}

// Gates says whether calls are made, as far as this process knows. It waits for nothing.
func (c *Cluster) Gates() (uploads, polls GateStatus) {
	uploads, polls = gateStatus(c.Uploads.State()), gateStatus(c.Polls.State())
	if polls.NeedsSomebody() { // what cannot be fetched is not paid for
		uploads.Paused, uploads.WaitsFor = true, c.Polls.name
	}
	return uploads, polls
}

func gateStatus(s State) GateStatus { return GateStatus{Paused: s.Paused(), State: s} }

func (c Counts) status(awaiting int) *BudgetStatus {
	files, known := c.files(awaiting)
	if !known {
		return nil
	}
	return &BudgetStatus{Mutation: c.Mutation.status(), Query: c.Query.status(), Files: files}
}

func (c Count) status() *CountStatus {
	if !c.Known() {
		return nil
	}
	return &CountStatus{Count: c, Left: c.Left()}
}
