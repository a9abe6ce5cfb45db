package queue_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/authenta/authenta-ingest/queue"
)

// An authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string // its own certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.file, _ = a.sign("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate and its key, as PEM files.
func (a *authority) sign(name string, c *x509.Certificate) (cert, key string) {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	orFail(a.t, err)
	c.SerialNumber, c.Subject = serial, pkix.Name{CommonName: name}
	c.NotBefore = time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	orFail(a.t, err)
	if a.key == nil {
		a.key, a.cert = private, c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &private.PublicKey, a.key)
	orFail(a.t, err)
	if c == a.cert {
		a.cert, err = x509.ParseCertificate(der)
		orFail(a.t, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	orFail(a.t, err)
	return a.pem(name+".pem", "CERTIFICATE", der), a.pem(name+"-key.pem", "PRIVATE KEY", pkcs8)
}

func (a *authority) pem(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	orFail(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

func orFail(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (a *authority) forServer() (cert, key string) {
	return a.sign("server", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func (a *authority) forClient(name string, until time.Time) (cert, key string) {
	return a.sign(name, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, NotAfter: until})
}

func TestTLSWithAnAuthorityOfItsOwnAndAClientCertificate(t *testing.T) {
	t.Parallel()
	ours, strangers := newAuthority(t), newAuthority(t)
	cert, key := ours.forServer()
	pair, err := tls.LoadX509KeyPair(cert, key)
	orFail(t, err)
	known := x509.NewCertPool()
	known.AddCert(ours.cert)
	e := newExternal(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 10
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: known, ClientAuth: tls.RequireAndVerifyClientCert}
	})
	mine, mineKey := ours.forClient("client", time.Time{})
	other, otherKey := strangers.forClient("stranger", time.Time{})
	old, oldKey := ours.forClient("old", time.Now().Add(-time.Minute))
	good := queue.Server{CA: ours.file, Cert: mine, Key: mineKey}
	for name, c := range map[string]struct {
		server queue.Server
		want   string // empty: it connects
	}{
		"as it should be":                 {good, ""},
		"an authority that is not known":  {queue.Server{Cert: mine, Key: mineKey}, "NATS_TLS_CA"},
		"another authority":               {queue.Server{CA: strangers.file, Cert: mine, Key: mineKey}, "NATS_TLS_CA"},
		"no client certificate":           {queue.Server{CA: ours.file}, "NATS_TLS_CERT"},
		"a stranger's client certificate": {queue.Server{CA: ours.file, Cert: other, Key: otherKey}, "NATS_TLS_CERT"},
		"an old client certificate":       {queue.Server{CA: ours.file, Cert: old, Key: oldKey}, "NATS_TLS_CERT"},
		"a key of another certificate":    {queue.Server{CA: ours.file, Cert: mine, Key: otherKey}, "NATS_TLS_CERT"},
		"an authority that is none":       {queue.Server{CA: mineKey, Cert: mine, Key: mineKey}, "NATS_TLS_CA"},
	} {
		for _, scheme := range []string{"nats", "tls"} { // the server says that it wants TLS, and the client believes it
			t.Run(name+" "+scheme, func(t *testing.T) {
				t.Parallel()
				server := c.server // both schemes' own
				server.URL = scheme + strings.TrimPrefix(e.url(""), "nats")
				conn, err := queue.Dial(deadline(t), server, quiet)
				if err == nil {
					t.Cleanup(conn.Close)
				}
				switch {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want == "":
					submit(t, openQueue(t, conn, func(o *queue.Options) { o.Namespace = queue.Namespace("tls-" + scheme) }), submission("a", "/in/a.mp4"), queue.AcceptedNew)
				case err == nil:
					t.Error("connected")
				case !strings.Contains(err.Error(), c.want):
					t.Errorf("error %q: want it to name %s", err, c.want)
				}
			})
		}
	}
}

func TestTLSThatTheServerDoesNotOfferIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	conn, err := queue.Dial(deadline(t), queue.Server{URL: "tls" + strings.TrimPrefix(newExternal(t).url(""), "nats")}, quiet)
	if err == nil {
		conn.Close()
		t.Fatal("connected without what was asked for")
	}
	if !strings.Contains(err.Error(), "nats://") {
		t.Errorf("%v", err)
	}
}

// An operator signs accounts, which sign users.
type operator struct {
	t       *testing.T
	account nkeys.KeyPair
	*external
}

// newOperator starts a server in operator mode with an account that may use JetStream as far as limits say.
func newOperator(t *testing.T, limits jwt.JetStreamLimits) *operator {
	t.Helper()
	root, err := nkeys.CreateOperator()
	orFail(t, err)
	rootKey, err := root.PublicKey()
	orFail(t, err)
	system, err := nkeys.CreateAccount()
	orFail(t, err)
	systemKey, err := system.PublicKey()
	orFail(t, err)
	account, err := nkeys.CreateAccount()
	orFail(t, err)
	accountKey, err := account.PublicKey()
	orFail(t, err)
	claims := jwt.NewAccountClaims(accountKey)
	claims.Limits.JetStreamLimits = limits
	resolver := &server.MemAccResolver{}
	for key, c := range map[string]*jwt.AccountClaims{systemKey: jwt.NewAccountClaims(systemKey), accountKey: claims} {
		signed, err := c.Encode(root)
		orFail(t, err)
		orFail(t, resolver.Store(key, signed))
	}
	trusted := jwt.NewOperatorClaims(rootKey)
	trusted.SystemAccount = systemKey
	signed, err := trusted.Encode(root)
	orFail(t, err)
	decoded, err := jwt.DecodeOperatorClaims(signed)
	orFail(t, err)
	return &operator{t, account, newExternal(t, func(o *server.Options) {
		o.TrustedOperators, o.SystemAccount, o.AccountResolver = []*jwt.OperatorClaims{decoded}, systemKey, resolver
	})}
}

// user writes a credentials file.
func (o *operator) user(change func(*jwt.UserClaims)) string {
	o.t.Helper()
	user, err := nkeys.CreateUser()
	orFail(o.t, err)
	key, err := user.PublicKey()
	orFail(o.t, err)
	seed, err := user.Seed()
	orFail(o.t, err)
	claims := jwt.NewUserClaims(key)
	change(claims)
	signed, err := claims.Encode(o.account)
	orFail(o.t, err)
	file, err := jwt.FormatUserConfig(signed, seed)
	orFail(o.t, err)
	path := filepath.Join(o.t.TempDir(), "user.creds")
	orFail(o.t, os.WriteFile(path, file, 0o600))
	return path
}

func (o *operator) dial(creds string) (*queue.Conn, error) {
	conn, err := queue.Dial(deadline(o.t), queue.Server{URL: o.url(""), Creds: creds}, quiet)
	if err == nil {
		o.t.Cleanup(conn.Close)
	}
	return conn, err
}

var unlimited = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}

// needed are the permissions that the program has to have in the namespace authenta.
func needed(u *jwt.UserClaims) {
	u.Pub.Allow.Add("$JS.API.>", "$JS.ACK.>", "$KV.authenta-ledger.>", "$KV.authenta-files.>", "$KV.authenta-control.>", "authenta.>", "_INBOX.>", "$SRV.>")
	u.Sub.Allow.Add("_INBOX.>", "authenta.ctl.>", "$SRV.>")
}

func TestACredentialsFileOfAnOperatorIsEnough(t *testing.T) {
	t.Parallel()
	o := newOperator(t, unlimited)
	for name, change := range map[string]func(*jwt.UserClaims){"may do everything": func(*jwt.UserClaims) {}, "may do what is needed": needed} {
		t.Run(name, func(t *testing.T) {
			conn, err := o.dial(o.user(change))
			orFail(t, err)
			q := openQueue(t, conn)
			a := submission(name, "/in/"+name+".mp4")
			submit(t, q, a, queue.AcceptedNew)
			judgeAll(t, q)
			awaitAnswer(t, q, a.Drop.ID, "verdict fake")
			orFail(t, q.Registry("").Remember(deadline(t), queue.FileKeyOf(name), queue.FileEntry{URI: "file:///in"}))
		})
	}
}

func TestCredentialsThatDoNotDoAreSaidAtOnce(t *testing.T) {
	t.Parallel()
	o := newOperator(t, unlimited)
	strangers := newOperator(t, unlimited)
	notOne := filepath.Join(t.TempDir(), "no.creds")
	orFail(t, os.WriteFile(notOne, []byte("hunter2"), 0o600))
	for name, creds := range map[string]string{
		"none": "", "of another operator": strangers.user(func(*jwt.UserClaims) {}), "no credentials": notOne,
		"expired": o.user(func(u *jwt.UserClaims) { u.Expires = time.Now().Add(-time.Minute).Unix() }),
	} {
		if _, err := o.dial(creds); err == nil || !strings.Contains(err.Error(), "NATS_CREDS") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnAccountOfAnOperatorThatMayNotHaveStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits jwt.JetStreamLimits
		want   string
	}{
		"no JetStream": {jwt.JetStreamLimits{}, "JetStream is not enabled for this NATS account"},
		"too little":   {jwt.JetStreamLimits{DiskStorage: 1 << 20, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}, "--js-disk-storage"},
	} {
		o := newOperator(t, c.limits)
		conn, err := o.dial(o.user(func(*jwt.UserClaims) {}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantAdvice(t, conn, 1, c.want)
	}
}

func TestAUserAndPasswordInTheURL(t *testing.T) {
	t.Parallel()
	e := newExternal(t, func(o *server.Options) { o.Users = []*server.User{{Username: "u", Password: "p:@/%"}} })
	conn := dial(t, e.url("u:p%3A%40%2F%25"))
	submit(t, openQueue(t, conn), submission("a", "/in/a.mp4"), queue.AcceptedNew)
}

// One server that cannot be trusted is passed over while another may come back.
func TestOneServerThatRefusesIsNotTheLastWord(t *testing.T) {
	t.Parallel()
	good := newExternal(t)
	good.stop()
	cert, key := newAuthority(t).forServer()
	pair, err := tls.LoadX509KeyPair(cert, key)
	orFail(t, err)
	bad := newExternal(t, func(o *server.Options) {
		o.TLS, o.TLSTimeout, o.TLSConfig = true, 10, &tls.Config{Certificates: []tls.Certificate{pair}}
	})
	var book logbook
	connected := make(chan error, 1)
	go func() {
		conn, err := queue.Dial(deadline(t), queue.Server{URL: bad.url("") + "," + good.url("")}, book.log())
		if err == nil {
			conn.Close()
		}
		connected <- err
	}()
	await(t, "it waits", func() bool { return book.said("waiting for it") > 0 })
	good.start()
	orFail(t, <-connected)
}
