package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// An otelEnvironment is what the environment says about traces, in variables that are OpenTelemetry's and not ours (see
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Its packages read them themselves, and where
// a value is wrong they go on with another; so all of them are looked at before.
type otelEnvironment func(name string) string

// get is a variable's value; set to nothing is not set.
func (e otelEnvironment) get(name string) string { return strings.TrimSpace(e(name)) }

// exporting is what the exporter of traces is to make of a variable, and by which name: that for traces, or that for all signals.
func (e otelEnvironment) exporting(what string) (name, value string) {
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"} {
		if name = prefix + what; e.get(name) != "" {
			return name, e.get(name)
		}
	}
	return name, ""
}

// on reports whether traces are wanted: an exporter is named, or where it is to send them.
func (e otelEnvironment) on() bool {
	if strings.EqualFold(e.get("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	_, endpoint := e.exporting("ENDPOINT")
	exporter := e.get("OTEL_TRACES_EXPORTER")
	return exporter != "none" && (exporter != "" || endpoint != "")
}

const (
	protocolHTTP = "http/protobuf"
	protocolGRPC = "grpc"
)

func (e otelEnvironment) protocol() string {
	_, p := e.exporting("PROTOCOL")
	return cmp.Or(p, protocolHTTP)
}

// collector is where traces go, for the log. What follows the host may be a secret.
func (e otelEnvironment) collector() string {
	_, endpoint := e.exporting("ENDPOINT")
	if u, err := url.Parse(endpoint); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host
	}
	return cmp.Or(endpoint, "a collector on this machine")
}

// mistakes are what is wrong with the variables. They tell no value that may be a secret.
func (e otelEnvironment) mistakes() []error {
	var found []error
	refuse := func(bad bool, name, shown, want string) {
		if bad {
			found = append(found, fmt.Errorf("%s=%s: want %s", name, legible(shown), want))
		}
	}
	exporter := e.get("OTEL_TRACES_EXPORTER")
	refuse(exporter != "" && exporter != "otlp", "OTEL_TRACES_EXPORTER", exporter, "otlp or none")
	name, value := e.exporting("PROTOCOL")
	refuse(!slices.Contains([]string{"", protocolHTTP, protocolGRPC}, value), name, value, protocolHTTP+" or "+protocolGRPC)
	name, value = e.exporting("ENDPOINT")
	refuse(value != "" && !e.reachable(value), name, "…", "an address such as http://localhost:4318, without a user or a query; keys go into OTEL_EXPORTER_OTLP_HEADERS")
	name, value = e.exporting("HEADERS")
	refuse(value != "" && !validHeaders(value), name, "…", "name=value, comma-separated, with %20 for a blank")
	name, value = e.exporting("COMPRESSION")
	refuse(!slices.Contains([]string{"", "gzip", "none"}, value), name, value, "gzip or none")
	name, value = e.exporting("TIMEOUT")
	refuse(!numberUpTo(value, 600_000), name, value, "milliseconds, from 1 to 600000")
	for _, name := range []string{"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT"} {
		refuse(!numberUpTo(e.get(name), 1_000_000), name, e.get(name), "a whole number from 1 to 1000000")
	}
	sampler, arg := strings.ToLower(e.get("OTEL_TRACES_SAMPLER")), e.get("OTEL_TRACES_SAMPLER_ARG")
	ratio := strings.HasSuffix(sampler, "traceidratio")
	refuse(sampler != "" && !slices.Contains(samplers, sampler), "OTEL_TRACES_SAMPLER", sampler, "one of "+strings.Join(samplers, ", "))
	refuse(ratio && arg != "" && !isRatio(arg), "OTEL_TRACES_SAMPLER_ARG", arg, "a part from 0 to 1, such as 0.1")
	refuse(!validAttributes(e.get("OTEL_RESOURCE_ATTRIBUTES")), "OTEL_RESOURCE_ATTRIBUTES", "…", "key=value, comma-separated")
	return append(found, e.checkCertificates()...)
}

var samplers = []string{"always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}

// reachable reports whether an exporter understands an address. What it would leave out of it is refused.
func (e otelEnvironment) reachable(address string) bool {
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
	}
	host, port, err := net.SplitHostPort(address) // gRPC has its own addresses
	return e.protocol() == protocolGRPC && err == nil && host != "" && port != "" && !strings.ContainsAny(address, "@/?")
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func validHeaders(list string) bool {
	for pair := range strings.SplitSeq(list, ",") {
		name, value, has := strings.Cut(pair, "=")
		plain, err := url.PathUnescape(value)
		unprintable := strings.ContainsFunc(plain, func(r rune) bool { return !unicode.IsPrint(r) })
		if !has || err != nil || unprintable || !headerName.MatchString(strings.TrimSpace(name)) {
			return false
		}
	}
	return true
}

func validAttributes(list string) bool {
	for pair := range strings.SplitSeq(list, ",") {
		key, value, has := strings.Cut(pair, "=")
		_, err := url.PathUnescape(value)
		if list != "" && (!has || err != nil || strings.TrimSpace(key) == "") {
			return false
		}
	}
	return true
}

// numberUpTo reports whether a value is not set, or a number from 1 on.
func numberUpTo(value string, most int) bool {
	n, err := strconv.Atoi(value)
	return value == "" || err == nil && n >= 1 && n <= most
}

func isRatio(value string) bool {
	f, err := strconv.ParseFloat(value, 64)
	return err == nil && f >= 0 && f <= 1
}

// checkCertificates finds files that the exporter could not read, and would do without.
func (e otelEnvironment) checkCertificates() (found []error) {
	if name, file := e.exporting("CERTIFICATE"); file != "" {
		data, err := os.ReadFile(file)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(data) {
			err = fmt.Errorf("%s has no certificate in PEM", file)
		}
		if err != nil {
			found = append(found, fmt.Errorf("%s: %w", name, err))
		}
	}
	name, file := e.exporting("CLIENT_CERTIFICATE")
	_, key := e.exporting("CLIENT_KEY")
	var err error
	switch {
	case (file == "") != (key == ""):
		err = errors.New("the certificate and its CLIENT_KEY belong together: set both")
	case file != "":
		_, err = tls.LoadX509KeyPair(file, key)
	}
	if err != nil {
		found = append(found, fmt.Errorf("%s: %w", name, err))
	}
	return found
}

// shortestSecret is how many bytes a secret has: to mask less would hide what an error says.
const shortestSecret = 4

// secrets are parts of the variables that others are not to read: values of headers, and what follows the host in an address.
func (e otelEnvironment) secrets() []string {
	var found []string
	_, headers := e.exporting("HEADERS")
	for pair := range strings.SplitSeq(headers, ",") {
		_, value, _ := strings.Cut(pair, "=")
		if plain, err := url.PathUnescape(value); err == nil {
			found = append(append(found, strings.TrimSpace(plain)), strings.Fields(plain)...) // "Basic", and what follows it
		}
		found = append(found, strings.TrimSpace(value))
	}
	_, endpoint := e.exporting("ENDPOINT")
	if u, err := url.Parse(endpoint); err == nil {
		for _, path := range []string{u.Path, u.EscapedPath()} {
			found = append(found, strings.Trim(strings.TrimSuffix(path, "/v1/traces"), "/"))
		}
	}
	found = slices.DeleteFunc(found, func(s string) bool { return len(s) < shortestSecret })
	slices.SortStableFunc(found, func(a, b string) int { return len(b) - len(a) }) // none is masked in part
	return found
}
