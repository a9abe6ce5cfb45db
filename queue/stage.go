package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// A Stage is one of the queues that a job passes through. A job in work has its message on exactly one of them: the one that
// its record tells (see Job.stage). Where a crash has left another, whoever gets that drops it, and does nothing else with it.
type Stage string

// The stages of a job. Besides them there is one for each machine, see [UploadAt].
const (
	Upload Stage = "upload" // the file has to reach the platform, and any worker may try
	Await  Stage = "await"  // the platform has it; its result is awaited
)

// atPrefix begins the stages of single machines.
const atPrefix = "at."

// Where a message is looked for, and of which there is no single queue: on any but those of the machines, on any of those.
const (
	anyStage Stage = "*"
	anyHost  Stage = atPrefix + "*"
)

// UploadAt is the queue of the files that have to reach the platform from one machine: others were found not to have them.
func UploadAt(host string) Stage { return atPrefix + Stage(hostToken(host)) }

// uploads reports whether it is a stage before the platform has the bytes.
func (s Stage) uploads() bool { return s == Upload || s.atHost() }

func (s Stage) atHost() bool { return strings.HasPrefix(string(s), atPrefix) }

// consumer is the name of the consumer that hands out the stage's jobs.
func (s Stage) consumer() string { return strings.ReplaceAll(string(s), ".", "-") }

var plainHost = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

// hostToken is a machine's name as a token of a subject. One that cannot be a token, whatever is in it, is told by its hash.
func hostToken(host string) string {
	if plainHost.MatchString(host) {
		return strings.ReplaceAll(host, ".", "~")
	}
	sum := sha256.Sum256([]byte(host))
	return "~" + hex.EncodeToString(sum[:12])
}

// stage returns the queue on which the job, in work, has its message.
func (j Job) stage() Stage {
	switch {
	case j.State == Uploaded:
		return Await
	case j.At != "":
		return UploadAt(j.At)
	}
	return Upload
}

// stageOf is the queue of a message's subject: what is between <ns>.jobs and the job's key.
func stageOf(subject string) Stage {
	tokens := strings.Split(subject, ".")
	if len(tokens) < 4 {
		return ""
	}
	return Stage(strings.Join(tokens[2:len(tokens)-1], "."))
}

// lastToken of a queue's subject is the job's key.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// hostKey is where a machine's consumer has the machine's name.
const hostKey = "host"

// consumer returns the consumer of a stage. That of a machine is made when it is first needed, by whoever works there or puts
// something there: without one, nobody would see what waits.
func (q *Queue) consumer(ctx context.Context, stage Stage, host string) (jetstream.Consumer, error) {
	if c, made := q.consumers.Load(stage); made {
		return c.(jetstream.Consumer), nil
	}
	cfg := jetstream.ConsumerConfig{
		Durable:       stage.consumer(),
		FilterSubject: q.ns.job(stage, "*"),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1,                    // attempts live in the ledger
		MaxAckPending: max(q.InFlight, 1000), // what waits for its next poll counts
	}
	if host != "" {
		cfg.Metadata = map[string]string{hostKey: host}
	}
	c, err := q.js.CreateOrUpdateConsumer(ctx, q.ns.name("jobs"), cfg)
	if err != nil {
		return nil, fmt.Errorf("create consumer %s of stream %s: %w", cfg.Durable, q.ns.name("jobs"), unplaced(err))
	}
	q.consumers.Store(stage, c)
	return c, nil
}

// stages are the consumers that there are, whoever made them, as they are now.
func (q *Queue) stages(ctx context.Context) (map[Stage]*jetstream.ConsumerInfo, error) {
	found := map[Stage]*jetstream.ConsumerInfo{}
	list := q.jobs.ListConsumers(ctx)
	for info := range list.Info() {
		if stage := stageOf(info.Config.FilterSubject); stage != "" {
			found[stage] = info
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("ask what is on the queues: %w", err)
	}
	return found, nil
}
