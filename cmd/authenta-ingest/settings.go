package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kelseyhightower/envconfig"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
	"github.com/authenta/authenta-ingest/queue/embedded"
	"github.com/authenta/authenta-ingest/watcher"
	"github.com/authenta/authenta-ingest/watcher/after"
	"github.com/authenta/authenta-ingest/watcher/fetch"
	"github.com/authenta/authenta-ingest/watcher/filter"
	"github.com/authenta/authenta-ingest/watcher/media"
)

// settings is everything that the environment may say. The tags are the documentation: 'config' and the README's table
// are made of them.
type settings struct {
	URL              string        `envconfig:"AUTHENTA_URL" default:"https://platform.authenta.ai" desc:"address of the platform"`
	ClientID         string        `envconfig:"AUTHENTA_CLIENT_ID" desc:"key pair: id"`
	ClientIDFile     string        `envconfig:"AUTHENTA_CLIENT_ID_FILE" desc:"key pair: file with the id, read again when it changes"`
	ClientSecret     string        `envconfig:"AUTHENTA_CLIENT_SECRET" secret:"true" desc:"key pair: secret"`
	ClientSecretFile string        `envconfig:"AUTHENTA_CLIENT_SECRET_FILE" desc:"key pair: file with the secret, read again when it changes"`
	APIKey           string        `envconfig:"AUTHENTA_API_KEY" secret:"true" desc:"bearer key, instead of the pair"`
	APIKeyFile       string        `envconfig:"AUTHENTA_API_KEY_FILE" desc:"file with the bearer key, read again when it changes"`
	MutationRate     float64       `envconfig:"AUTHENTA_MUTATION_RATE" default:"5" desc:"media records created per second by the whole cluster, at most"`
	QueryRate        float64       `envconfig:"AUTHENTA_QUERY_RATE" default:"10" desc:"polls per second by the whole cluster, at most"`
	MutationQuota    int           `envconfig:"AUTHENTA_MUTATION_QUOTA" desc:"Mutation calls that the account was granted, if known: they are counted, and never overrun"`
	QueryQuota       int           `envconfig:"AUTHENTA_QUERY_QUOTA" desc:"Query calls that the account was granted, likewise; no file is uploaded whose result they would not cover"`
	NATSURL          string        `envconfig:"NATS_URL" desc:"external NATS; empty starts the embedded server"`
	NATSCreds        string        `envconfig:"NATS_CREDS" desc:"credentials file for the external NATS"`
	NATSTLSCA        string        `envconfig:"NATS_TLS_CA" desc:"PEM file of the authority that signed the external NATS's certificate"`
	NATSTLSCert      string        `envconfig:"NATS_TLS_CERT" desc:"PEM file of our client certificate"`
	NATSTLSKey       string        `envconfig:"NATS_TLS_KEY" desc:"PEM file of its key"`
	NATSListen       string        `envconfig:"INGEST_NATS_LISTEN" default:"127.0.0.1:4222" desc:"where the embedded NATS listens for subscribers; off for nowhere"`
	NATSToken        string        `envconfig:"INGEST_NATS_TOKEN" secret:"true" desc:"token that subscribers of the embedded NATS must show"`
	NATSTokenFile    string        `envconfig:"INGEST_NATS_TOKEN_FILE" desc:"file with that token, read at the start"`
	StateDir         string        `envconfig:"INGEST_STATE_DIR" default:"./.authenta-ingest" desc:"folder of the embedded NATS's store"`
	Sync             string        `envconfig:"INGEST_SYNC" default:"always" desc:"fsync of the embedded store: always, or every so often, such as 1s"`
	Dirs             []string      `envconfig:"INGEST_DIRS" desc:"folders to watch, comma-separated; 'run DIR...' adds to them"`
	Subjects         []string      `envconfig:"INGEST_SUBJECTS" desc:"NATS subjects that bring media or references to them, comma-separated"`
	Roots            []string      `envconfig:"INGEST_ROOTS" desc:"folders, comma-separated, that file: references may point into, besides the watched ones"`
	URLHosts         []string      `envconfig:"INGEST_URL_HOSTS" desc:"hosts, comma-separated, that https: references may point at, such as media.example.com, *.example.com or nas.example.com:8443; others are refused"`
	URLPrivate       bool          `envconfig:"INGEST_URL_PRIVATE" default:"false" desc:"let these hosts be on this machine or in private networks"`
	Namespace        string        `envconfig:"INGEST_NAMESPACE" default:"authenta" desc:"first token of every subject, prefix of stream and bucket names"`
	ModelImage       []string      `envconfig:"INGEST_MODEL_IMAGE" default:"AC-1" desc:"models that judge images, comma-separated"`
	ModelVideo       []string      `envconfig:"INGEST_MODEL_VIDEO" default:"DF-1" desc:"models that judge videos, comma-separated"`
	Settle           time.Duration `envconfig:"INGEST_SETTLE" default:"5s" desc:"a file is complete when nothing about it changed for this long"`
	Rescan           time.Duration `envconfig:"INGEST_RESCAN" default:"5m" desc:"time between safety scans of the folders"`
	PollDirs         watcher.Poll  `envconfig:"INGEST_POLL_DIRS" default:"auto" desc:"folders to read over and over, besides listening for events: auto for those whose events cannot be relied on (network and FUSE mounts), never, or an interval for all of them, such as 10s"`
	Include          filter.Globs  `envconfig:"INGEST_INCLUDE" desc:"patterns, comma-separated: only files that match one of them count"`
	Exclude          filter.Globs  `envconfig:"INGEST_EXCLUDE" desc:"patterns, comma-separated, of files and folders to leave out"`
	MinSize          byteSize      `envconfig:"INGEST_MIN_SIZE" desc:"smaller files do not count, such as 10kB"`
	MaxSize          byteSize      `envconfig:"INGEST_MAX_SIZE" desc:"larger files do not count, such as 2GB; what messages bring is refused instead"`
	MaxDepth         int           `envconfig:"INGEST_MAX_DEPTH" desc:"how many folders deep files count: 1 is the watched folder alone, 0 is no limit"`
	DoneSuffix       string        `envconfig:"INGEST_DONE_SUFFIX" desc:"with .done, clip.mp4 counts only once clip.mp4.done is there too"`
	FollowSymlinks   bool          `envconfig:"INGEST_FOLLOW_SYMLINKS" default:"false" desc:"take what symbolic links in a watched folder lead to, as far as that is in the folder too"`
	After            string        `envconfig:"INGEST_AFTER" default:"keep" desc:"what becomes of a file once its verdict is on its stream: keep, delete or move:DIR"`
	AfterFail        string        `envconfig:"INGEST_AFTER_FAIL" default:"keep" desc:"likewise, of one that could not be judged"`
	Sidecar          string        `envconfig:"INGEST_SIDECAR" default:"off" desc:"on writes the verdict beside the file, as NAME.verdict.json; a folder writes it there"`
	Host             string        `envconfig:"INGEST_HOST" desc:"name of this machine, as others are told where files are: its host name if nothing is said. Set it if several share an external NATS and watch different disks under the same path, or if the host name does not stay (containers); it must not change"`
	Role             control.Role  `envconfig:"INGEST_ROLE" default:"all" desc:"what this process does: watcher takes files in and needs no key, worker has them judged and watches no folders, all does both"`
	Stage            string        `envconfig:"INGEST_STAGE" default:"off" desc:"store copies files into the JetStream object store until they are judged, so that workers on other machines can read them; off leaves them where they are"`
	StageBytes       byteSize      `envconfig:"INGEST_STAGE_BYTES" default:"10GB" desc:"what the object store may hold; no more files are taken in while it is full"`
	Replicas         int           `envconfig:"INGEST_REPLICAS" default:"1" desc:"copies of streams and buckets on an external NATS cluster"`
	Uploads          int           `envconfig:"INGEST_UPLOADS" default:"4" desc:"uploads at a time"`
	InFlight         int           `envconfig:"INGEST_IN_FLIGHT" default:"100000" desc:"media awaiting a result, at most"`
	PollTimeout      time.Duration `envconfig:"INGEST_POLL_TIMEOUT" default:"1h" desc:"a result that is not there by then fails the file as 'timeout'"`
	ResultTTL        time.Duration `envconfig:"INGEST_RESULT_TTL" default:"720h" desc:"how long a verdict answers for the same content"`
	HTTP             string        `envconfig:"INGEST_HTTP" default:"127.0.0.1:8080" desc:"where health, metrics and the status are served: host:port, such as 0.0.0.0:8080 for other machines too; off for nowhere. Whoever reaches it may read it; the status, which names files, from another machine only with the token of INGEST_NATS_TOKEN"`
	PProf            string        `envconfig:"INGEST_PPROF" desc:"host:port of this machine where Go profiles are served, such as 127.0.0.1:6060"`
	Drain            time.Duration `envconfig:"INGEST_DRAIN" default:"30s" desc:"time to stop cleanly"`
	LogLevel         string        `envconfig:"INGEST_LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
}

// The values of INGEST_STAGE.
const (
	stageOff   = "off"
	stageStore = "store"
)

// leastStage is the least for INGEST_STAGE_BYTES: a few chunks.
const leastStage = 10e6

// readSettings reads the environment, and collects every mistake in it.
func readSettings() (settings, *mistakes) {
	s, m := parseSettings()
	s.check(m)
	return s, m
}

// parseSettings reads the environment, and collects the values that cannot be read.
func parseSettings() (settings, *mistakes) {
	var s settings
	m := &mistakes{spoilt: map[string]bool{}}
	value := reflect.ValueOf(&s).Elem()
	for _, field := range reflect.VisibleFields(value.Type()) {
		if name := field.Tag.Get("envconfig"); os.Getenv(name) == "" { // set to nothing, as compose files do, is not set
			if err := os.Unsetenv(name); err != nil {
				m.found = append(m.found, err)
			}
		}
		// envconfig stops at the first mistake, so each field is processed as a struct of its own.
		one := reflect.New(reflect.StructOf([]reflect.StructField{field}))
		if err := envconfig.Process("", one.Interface()); err != nil {
			m.unreadable(err)
			continue
		}
		value.FieldByIndex(field.Index).Set(one.Elem().Field(0))
	}
	for _, list := range []*[]string{&s.Dirs, &s.Subjects, &s.Roots, &s.URLHosts, &s.ModelImage, &s.ModelVideo} {
		*list = trim(*list)
	}
	s.readToken(m)
	return s, m
}

// readToken reads the token of the embedded NATS from its file, if it is there.
func (s *settings) readToken(m *mistakes) {
	m.exclusive("INGEST_NATS_TOKEN", s.NATSToken, "INGEST_NATS_TOKEN_FILE", s.NATSTokenFile)
	if s.NATSTokenFile == "" || s.NATSToken != "" {
		return
	}
	from := secretSource{file: s.NATSTokenFile}
	token, err := from.read()
	if err != nil {
		m.found = append(m.found, fmt.Errorf("INGEST_NATS_TOKEN_FILE: %w", err))
	}
	s.NATSToken = token
}

// trim leaves out of a list the blanks around its entries, and the empty ones.
func trim(list []string) []string {
	var kept []string
	for _, entry := range list {
		if entry = strings.TrimSpace(entry); entry != "" {
			kept = append(kept, entry)
		}
	}
	return kept
}

// isSet reports whether the environment says something about a setting.
func isSet(name string) bool { return os.Getenv(name) != "" }

// mistakes collects what is wrong with the settings.
type mistakes struct {
	found  []error
	spoilt map[string]bool // settings that could not be read; their values mean nothing
}

// err is all of it, one mistake a line, as the end of the program; nil if there is none.
func (m *mistakes) err() error {
	if len(m.found) == 0 {
		return nil
	}
	return &exitError{exitUsage, errors.Join(m.found...)}
}

// unreadable notes a value that is not of its setting's type.
func (m *mistakes) unreadable(err error) {
	parse, ok := errors.AsType[*envconfig.ParseError](err)
	if !ok {
		m.found = append(m.found, err)
		return
	}
	m.spoilt[parse.KeyName] = true
	want, ok := wants[parse.TypeName]
	if !ok { // a type of ours, which says itself what it wants
		want = parse.Err.Error()
	}
	m.found = append(m.found, fmt.Errorf("%s=%q: want %s", parse.KeyName, parse.Value, want))
}

// refuse notes a bad value of a setting.
func (m *mistakes) refuse(bad bool, name string, value any, want string) {
	if !bad || m.spoilt[name] {
		return
	}
	text := fmt.Sprint(value)
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) { // one line a mistake
		text = strconv.Quote(text)
	}
	m.found = append(m.found, fmt.Errorf("%s=%s: want %s", name, text, want))
}

// exclusive notes that both of two settings are given.
func (m *mistakes) exclusive(nameA, a, nameB, b string) {
	if a != "" && b != "" {
		m.found = append(m.found, fmt.Errorf("%s and %s are both set: keep one", nameA, nameB))
	}
}

func (s settings) check(m *mistakes) {
	m.refuse(!isHTTP(s.URL), "AUTHENTA_URL", redact(s.URL), "an address such as https://platform.authenta.ai")
	m.exclusive("AUTHENTA_CLIENT_ID", s.ClientID, "AUTHENTA_CLIENT_ID_FILE", s.ClientIDFile)
	m.exclusive("AUTHENTA_CLIENT_SECRET", s.ClientSecret, "AUTHENTA_CLIENT_SECRET_FILE", s.ClientSecretFile)
	m.exclusive("AUTHENTA_API_KEY", s.APIKey, "AUTHENTA_API_KEY_FILE", s.APIKeyFile)
	m.refuse(s.MutationRate <= 0, "AUTHENTA_MUTATION_RATE", s.MutationRate, "more than 0")
	m.refuse(s.QueryRate <= 0, "AUTHENTA_QUERY_RATE", s.QueryRate, "more than 0")
	m.refuse(s.MutationQuota < 0, "AUTHENTA_MUTATION_QUOTA", s.MutationQuota, "1 or more, or nothing if it is not known")
	m.refuse(s.QueryQuota < 0, "AUTHENTA_QUERY_QUOTA", s.QueryQuota, "1 or more, or nothing if it is not known")
	m.refuse(!validModels(s.ModelImage), "INGEST_MODEL_IMAGE", s.ModelImage, "models such as AC-1, comma-separated")
	m.refuse(!validModels(s.ModelVideo), "INGEST_MODEL_VIDEO", s.ModelVideo, "models such as DF-1, comma-separated")
	m.refuse(s.Settle <= 0, "INGEST_SETTLE", s.Settle, "more than 0")
	m.refuse(s.Rescan <= 0, "INGEST_RESCAN", s.Rescan, "more than 0")
	s.checkAfter(m)
	m.refuse(!s.Role.Valid(), "INGEST_ROLE", s.Role, "all, watcher or worker")
	m.refuse(s.Replicas < 1 || s.Replicas > 5, "INGEST_REPLICAS", s.Replicas, "1 to 5")
	m.refuse(s.Stage != stageOff && s.Stage != stageStore, "INGEST_STAGE", s.Stage, "off or store")
	m.refuse(s.StageBytes.bytes < leastStage, "INGEST_STAGE_BYTES", s.StageBytes, "10MB or more")
	m.refuse(s.Uploads < 1, "INGEST_UPLOADS", s.Uploads, "1 or more")
	m.refuse(s.InFlight < 1, "INGEST_IN_FLIGHT", s.InFlight, "1 or more")
	m.refuse(s.PollTimeout <= 0, "INGEST_POLL_TIMEOUT", s.PollTimeout, "more than 0")
	m.refuse(s.ResultTTL < time.Minute, "INGEST_RESULT_TTL", s.ResultTTL, "1m or more")
	m.refuse(s.Drain < time.Second, "INGEST_DRAIN", s.Drain, "1s or more")
	_, err := parseLevel(s.LogLevel)
	m.refuse(err != nil, "INGEST_LOG_LEVEL", s.LogLevel, "debug, info, warn or error")
	for _, dir := range s.Dirs {
		m.folder(dir)
	}
	s.checkReferences(m)
	s.checkFilter(m)
	m.refuse(!validHost(s.Host), "INGEST_HOST", s.Host, "letters, digits, dots, - and _")
	s.checkNATS(m)
	s.checkHTTP(m)
}

// checkReferences notes what is wrong with where messages come from, and what they may refer to.
func (s settings) checkReferences(m *mistakes) {
	for _, subject := range s.Subjects {
		if err := queue.Namespace(s.Namespace).CheckSubject(subject); err != nil {
			m.found = append(m.found, fmt.Errorf("INGEST_SUBJECTS: %w", err))
		}
	}
	for _, dir := range s.Roots {
		if err := watcher.CheckDir(dir); err != nil {
			m.found = append(m.found, fmt.Errorf("INGEST_ROOTS: %w", err))
		}
	}
	if err := fetch.CheckHosts(s.URLHosts); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			m.found = append(m.found, fmt.Errorf("INGEST_URL_HOSTS: %s", strings.TrimPrefix(line, "INGEST_URL_HOSTS: ")))
		}
	}
}

// checkFilter notes what is wrong with which files count.
func (s settings) checkFilter(m *mistakes) {
	m.filter("INGEST_INCLUDE", filter.Options{Include: s.Include})
	m.filter("INGEST_EXCLUDE", filter.Options{Exclude: s.Exclude})
	m.filter("INGEST_MAX_DEPTH", filter.Options{MaxDepth: s.MaxDepth})
	m.filter("INGEST_DONE_SUFFIX", filter.Options{DoneSuffix: s.DoneSuffix})
	m.refuse(s.MaxSize.bytes > 0 && s.MinSize.bytes > s.MaxSize.bytes, "INGEST_MIN_SIZE", s.MinSize,
		fmt.Sprintf("no more than INGEST_MAX_SIZE, which is %s", s.MaxSize))
}

// filter notes each mistake that one setting alone would make of the filter.
func (m *mistakes) filter(name string, o filter.Options) {
	_, err := filter.New(o)
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		m.found = append(m.found, fmt.Errorf("%s: %s", name, line))
	}
}

// checkAfter notes what cannot be done with judged files.
func (s settings) checkAfter(m *mistakes) {
	_, err := after.ParsePolicy(s.After)
	m.refuse(err != nil, "INGEST_AFTER", s.After, fmt.Sprint(err))
	_, err = after.ParsePolicy(s.AfterFail)
	m.refuse(err != nil, "INGEST_AFTER_FAIL", s.AfterFail, fmt.Sprint(err))
	_, err = after.ParseSidecar(s.Sidecar)
	m.refuse(err != nil, "INGEST_SIDECAR", s.Sidecar, fmt.Sprint("off, on, or ", err))
}

// plan is what is done with files afterwards. What check has refused is left out of it.
func (s settings) plan() after.Plan {
	var p after.Plan
	p.OnVerdict, _ = after.ParsePolicy(s.After)
	p.OnFailure, _ = after.ParsePolicy(s.AfterFail)
	p.Sidecar, _ = after.ParseSidecar(s.Sidecar)
	return p
}

// checkNATS notes what is wrong with how NATS is reached.
func (s settings) checkNATS(m *mistakes) {
	m.refuse((s.NATSTLSCert == "") != (s.NATSTLSKey == ""), "NATS_TLS_CERT", s.NATSTLSCert, "NATS_TLS_KEY set with it, or neither")
	m.refuse(!queue.Namespace(s.Namespace).Valid(), "INGEST_NAMESPACE", s.Namespace, "letters, digits, - and _")
	if err := s.server().Check(); err != nil {
		m.found = append(m.found, err)
	}
	err := queue.CheckURL(s.NATSURL)
	if s.NATSURL == "" {
		err = s.embedded(nil).Check()
	}
	if err != nil {
		m.found = append(m.found, err)
	}
}

// folder notes a folder that cannot be watched.
func (m *mistakes) folder(dir string) {
	if err := watcher.CheckDir(dir); err != nil {
		m.found = append(m.found, err)
	}
}

// account notes that there are no keys, or half of a pair.
func (s settings) account(m *mistakes) {
	id, secret, key := s.ClientID+s.ClientIDFile, s.ClientSecret+s.ClientSecretFile, s.APIKey+s.APIKeyFile
	switch {
	case key != "" && id+secret != "":
		m.found = append(m.found, errors.New("AUTHENTA_API_KEY and a key pair are both set: keep one"))
	case key == "" && (id == "") != (secret == ""):
		m.found = append(m.found, errors.New("AUTHENTA_CLIENT_ID and AUTHENTA_CLIENT_SECRET belong together: set both"))
	case key+id+secret == "":
		m.found = append(m.found, errors.New("no key: set AUTHENTA_CLIENT_ID and AUTHENTA_CLIENT_SECRET, or AUTHENTA_API_KEY "+
			"(or try it without an account: run --sandbox)"))
	default:
		keys, err := s.keys().read()
		if err == nil {
			err = keys.Check()
		}
		if err != nil {
			m.found = append(m.found, err)
		}
	}
}

func isHTTP(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// redact hides what an address has before its host: a user and a password, or a token. It does not have to be a URL: NATS
// takes user:password@host too, and a mistake in a password must not show it.
func redact(address string) string {
	scheme, rest, has := strings.Cut(address, "://")
	if !has {
		scheme, rest = "", address
	} else {
		scheme += "://"
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "xxxxx" + rest[at:]
	}
	return scheme + rest
}

func validModels(models []string) bool {
	return len(models) > 0 && !slices.ContainsFunc(models, func(m string) bool { return !queue.Model(m).Valid() })
}

// validHost reports whether a machine can be called that; an empty name is its host name.
func validHost(name string) bool {
	return len(name) <= 253 && !strings.ContainsFunc(name, func(r rune) bool { // as long as a host name may be
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_", r)
	})
}

func models(names []string) []queue.Model {
	out := make([]queue.Model, len(names))
	for i, n := range names {
		out[i] = queue.Model(n)
	}
	return out
}

// models are those that judge what arrives.
func (s settings) models() media.Models {
	return media.Models{Images: models(s.ModelImage), Videos: models(s.ModelVideo)}
}

func (s settings) embedded(log *slog.Logger) embedded.Options {
	return embedded.Options{Dir: s.StateDir, Listen: s.NATSListen, Token: s.NATSToken, Sync: s.Sync, Log: log}
}

// filter is which files count, of settings without mistakes.
func (s settings) filter() (*filter.Filter, error) {
	return filter.New(filter.Options{
		Include: s.Include, Exclude: s.Exclude, MinSize: s.MinSize.bytes, MaxSize: s.MaxSize.bytes,
		MaxDepth: s.MaxDepth, DoneSuffix: s.DoneSuffix,
	})
}

// machine is the name under which the cluster knows this machine.
func (s settings) machine() string { return cmp.Or(s.Host, control.Machine()) }

// boot tells this machine from another of the same name; empty: the name was given on purpose, and machines of one name see the same files.
func (s settings) boot() string {
	if s.Host != "" {
		return ""
	}
	return control.Boot()
}

// shared reports whether processes on other machines may use the same NATS.
func (s settings) shared() bool {
	host, _, err := net.SplitHostPort(s.NATSListen)
	return s.NATSURL != "" || err == nil && !embedded.Loopback(host)
}

// filesAt is the machine whose processes see the files that this one sees; empty: all who share the queue are on it.
func (s settings) filesAt() string {
	if !s.shared() {
		return ""
	}
	return s.machine()
}

// server is how the external NATS is reached.
func (s settings) server() queue.Server {
	return queue.Server{URL: s.NATSURL, Creds: s.NATSCreds, CA: s.NATSTLSCA, Cert: s.NATSTLSCert, Key: s.NATSTLSKey}
}

// unknown lists the variables that look like settings of this program and are none.
func unknown() []string {
	known := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[settings]()) {
		known[f.Tag.Get("envconfig")] = true
	}
	var names []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if (strings.HasPrefix(name, "INGEST_") || strings.HasPrefix(name, "AUTHENTA_")) && !known[name] {
			names = append(names, name)
		}
	}
	return names
}
