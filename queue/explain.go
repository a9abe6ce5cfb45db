package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Codes of nats-server's errors.json that nats.go does not name.
const (
	errCodeAccountExceeded       = 10002 // a limit of the account
	errCodeNoPeers               = 10005 // no servers that can hold a stream
	errCodeNotAssigned           = 10007
	errCodeNotLeader             = 10009
	errCodeClusterRequired       = 10010
	errCodeInsufficientResources = 10023
	errCodeConsumersLimit        = 10026
	errCodeStreamsLimit          = 10027
	errCodeNoAccount             = 10035
	errCodeUnsupported           = 10036
	errCodeRaft                  = 10041
	errCodeStorageExceeded       = 10047
	errCodeOverlap               = 10065
	errCodeReplicasAlone         = 10074
	errCodeStoreFailed           = 10077 // "maximum bytes exceeded" of a stream with DiscardNew, or a failed write
	errCodeNoLimits              = 10120
	errCodeAckPendingExceeded    = 10121
	errCodeStreamBytesExceeded   = 10122
	errCodeMoveInProgress        = 10124
	errCodeDuplicateInProcess    = 10158 // the first try of the same message is not through yet
	errCodeMembersChange         = 10202
	errCodeReconfiguring         = 10226
)

// streamsNeeded is how many streams this program makes, and bytesNeeded what they may grow to, all together and in one copy; the
// staging bucket comes to that.
const (
	streamsNeeded = 9
	bytesNeeded   = jobsBytes + ledgerBytes + filesBytes + verdictsBytes + failuresBytes + eventsBytes + controlBytes + intakeBytes
)

// explainNoJetStream says what is to be done about a server that offers none.
func explainNoJetStream(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		return fmt.Errorf("the NATS server has no JetStream: start it with -js or a jetstream{} block: %w", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("JetStream is not enabled for this NATS account: enable it in the account's configuration: %w", err)
	}
	return fmt.Errorf("ask the NATS server for JetStream: %w", err)
}

// explainNoAnswer adds to an error of JetStream's that nobody is there to answer what may be lacking.
func explainNoAnswer(err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%w: does the NATS server have JetStream (-js, or a jetstream{} block)?", err)
	}
	return err
}

// advise adds to a refusal to make a stream or a consumer what is to be set, or to be asked for.
func (q *Queue) advise(err error, c jetstream.StreamConfig) error {
	if e, ok := apiError(err); ok {
		if advice := q.advice(e, c); advice != "" {
			return fmt.Errorf("%w: %s", err, advice)
		}
	}
	return err
}

func (q *Queue) advice(e *jetstream.APIError, c jetstream.StreamConfig) string {
	switch e.ErrorCode {
	case errCodeReplicasAlone, errCodeClusterRequired:
		return fmt.Sprintf("the NATS server is not part of a cluster: set INGEST_REPLICAS=1 (it is %d), or NATS_URL to a cluster of %d servers", c.Replicas, c.Replicas)
	case errCodeNoPeers:
		return noPeers(e.Description, c)
	case errCodeInsufficientResources, errCodeStorageExceeded, errCodeAccountExceeded:
		return fmt.Sprintf("the server or the account has too little JetStream storage left: all streams together may take %d MB a copy, with "+
			"what INGEST_STAGE_BYTES says, and INGEST_REPLICAS is %d. Raise max_file_store of the server (jetstream{}), or the account's limit (nsc edit account --js-disk-storage)",
			(bytesNeeded+q.StageBytes)>>20, c.Replicas)
	case errCodeStreamBytesExceeded:
		return fmt.Sprintf("the account may not have a stream of %d MB, and needs ones of up to %d MB: raise max_stream_bytes "+
			"(nsc edit account --js-max-disk-stream)", c.MaxBytes>>20, int64(ledgerBytes)>>20)
	case errCodeStreamsLimit:
		return fmt.Sprintf("the account may have no more streams, and %d are needed: raise max_streams (nsc edit account --js-streams)", streamsNeeded)
	case errCodeConsumersLimit:
		return "the account may have no more consumers, and four are needed for the queues and what is taken in, and up to five for each process: " +
			"raise max_consumers (nsc edit account --js-consumer)"
	case errCodeNoLimits:
		return fmt.Sprintf("the account may have no streams with %d copies: ask for that (nsc edit account --js-tier %d --js-disk-storage …), "+
			"or set INGEST_REPLICAS to what it may have", c.Replicas, c.Replicas)
	case errCodeAckPendingExceeded:
		return fmt.Sprintf("INGEST_IN_FLIGHT=%d is more than the server or the account allows to be awaited: set it lower, or raise max_ack_pending", q.InFlight)
	case errCodeOverlap:
		return fmt.Sprintf("another stream has the subjects %s: set INGEST_NAMESPACE to a name of its own", strings.Join(c.Subjects, ", "))
	}
	return ""
}

// errUnplaced says that a consumer has no place yet. The server calls it insufficient resources, and of a stream it means them.
var errUnplaced = errors.New("too few of the stream's servers are there, or its copies are still being made")

// unplaced tells a refusal to make a consumer that passes from one that does not.
func unplaced(err error) error {
	if e, ok := apiError(err); ok && e.ErrorCode == errCodeInsufficientResources {
		return fmt.Errorf("%w (NATS says: %s)", errUnplaced, e.Description)
	}
	return err
}

// noPeers says what servers lack that could hold a stream; said is the server's word on it.
func noPeers(said string, c jetstream.StreamConfig) string {
	switch {
	case strings.Contains(said, "storage"):
		return fmt.Sprintf("%d servers are needed that have %d MB of JetStream storage left: raise max_file_store (jetstream{}), or set INGEST_REPLICAS lower",
			c.Replicas, c.MaxBytes>>20)
	case strings.Contains(said, "tag"):
		return fmt.Sprintf("the servers' tags leave too few of them: %d are needed (INGEST_REPLICAS) that differ in their jetstream unique_tag, "+
			"have the tags of the stream's placement, and do not say !jetstream", c.Replicas)
	}
	return fmt.Sprintf("INGEST_REPLICAS=%d needs as many servers in the cluster that have JetStream: add servers, or set it lower", c.Replicas)
}

// unready reports whether a request was not answered, or refused because the servers have not found together yet: some are
// starting, or are about to choose who leads.
func unready(err error) bool {
	e, ok := apiError(err)
	if !ok {
		return isAway(err) || errors.Is(err, errUnplaced)
	}
	switch e.ErrorCode {
	case errCodeInsufficientResources, jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount, errCodeNoAccount,
		errCodeClusterRequired, errCodeUnsupported:
		return false
	case errCodeNoPeers: // offline: one that was there; miscellaneous: one of which nothing is known yet
		return strings.Contains(e.Description, "offline") || strings.Contains(e.Description, "miscellaneous")
	case errCodeMoveInProgress, errCodeMembersChange, errCodeReconfiguring:
		return true
	}
	return passing(e)
}

// passing reports whether the same request may be taken in a moment: nobody leads just now, there is too much of a hurry, or the
// first try of it is still under way.
func passing(e *jetstream.APIError) bool {
	return slices.Contains([]int{409, 429, 503}, e.Code) ||
		slices.Contains([]jetstream.ErrorCode{errCodeNotAssigned, errCodeNotLeader, errCodeRaft, errCodeDuplicateInProcess,
			jetstream.JSErrCodeStreamWrongLastSequenceConstant}, e.ErrorCode)
}
