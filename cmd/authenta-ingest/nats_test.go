package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// nextPort is below the ports that systems give to those who ask for any: another test's connection must not take one
// between the look and its use. Nor may a test of another run, while a broker of this one is down: runs that were started
// one after the other are far apart.
var nextPort atomic.Int32

func init() { nextPort.Store(int32(20000 + os.Getpid()*128%10000)) }

// freePort returns a loopback address that nobody listens on.
func freePort(t *testing.T) (address string, port int) {
	t.Helper()
	for range 1000 {
		port = int(nextPort.Add(1))
		address = fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address, port
		}
	}
	t.Fatal("no free port")
	return "", 0
}

func TestAnyNATSClientSeesVerdictsAsTheyComeAndLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	address, _ := freePort(t)
	w.start(map[string]string{"INGEST_NATS_LISTEN": address}, "run", w.inbox)
	var nc *nats.Conn
	eventually(t, time.Minute, "the embedded server listens", func() (up bool) {
		var err error
		nc, err = nats.Connect("nats://" + address)
		return err == nil
	})
	defer nc.Close()
	live, err := nc.SubscribeSync("authenta.verdicts.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	w.write("a.jpg", picture(1))
	msg, err := live.NextMsg(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var v queue.Verdict
	if err := json.Unmarshal(msg.Data, &v); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("authenta.verdicts.AC-1.%s", v.Outcome); msg.Subject != want || v.Name != "a.jpg" {
		t.Errorf("%s: %s", msg.Subject, msg.Data)
	}
	if id := msg.Header.Get(nats.MsgIdHdr); id != string(v.ID) {
		t.Errorf("Nats-Msg-Id %q, want the drop id %q", id, v.ID)
	}

	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	late, err := js.OrderedConsumer(t.Context(), "authenta-verdicts", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := late.Next(jetstream.FetchMaxWait(time.Minute))
	if err != nil || string(again.Data()) != string(msg.Data) {
		t.Errorf("a late subscriber got %v, %v", again, err)
	}
}

func brokerOptions(port int, dir string) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: port, StoreDir: dir, JetStream: true, SyncAlways: true, NoSigs: true, NoLog: true,
	}
}

// natsServer is an external NATS that can be stopped and started again.
func natsServer(t *testing.T, port int, dir string) *server.Server {
	t.Helper()
	s, err := server.NewServer(brokerOptions(port, dir))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server did not start")
	}
	return s
}

func TestABrokerThatGoesAndComesBackIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{Latency: 200 * time.Millisecond})
	address, port := freePort(t)
	dir := t.TempDir()
	broker := natsServer(t, port, dir)
	w.env["NATS_URL"] = "nats://" + address
	p := w.start(nil, "run", w.inbox)
	const files = 60
	for n := range files {
		w.write(fmt.Sprintf("%02d.jpg", n), picture(n))
		if n == files/3 || n == files*2/3 {
			paid := len(w.platform.Ledger().Paid)
			eventually(t, time.Minute, "work goes on", func() bool { return len(w.platform.Ledger().Paid) > paid })
			broker.Shutdown()
			broker.WaitForShutdown()
			eventually(t, time.Minute, "the outage is noticed", func() bool { return strings.Contains(p.stderr.String(), "lost the connection") })
			broker = natsServer(t, port, dir)
		}
	}
	defer func() {
		broker.Shutdown()
		broker.WaitForShutdown()
	}()
	conn, err := queue.Connect(w.env["NATS_URL"], discard)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	q, err := queue.Open(t.Context(), conn, queue.Options{Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, finishTime, "every file has its verdict", func() bool {
		end, err := q.End(t.Context())
		return err == nil && end.Verdicts >= files
	})
	w.check(readTerminals(t, q), files, files)
}
