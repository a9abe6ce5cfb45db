package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func environment(variables map[string]string) otelEnvironment {
	return func(name string) string { return variables[name] }
}

func TestTracesAreSentOnlyIfTheEnvironmentSaysSo(t *testing.T) {
	const endpoint, forTraces = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{endpoint: "http://localhost:4318"}, true},
		{map[string]string{forTraces: "http://localhost:4318"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{map[string]string{endpoint: " "}, false},
		{map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_METRICS_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "wrong"}, false},
		{map[string]string{endpoint: "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}, false},
		{map[string]string{endpoint: "http://localhost:4318", "OTEL_SDK_DISABLED": "TRUE"}, false},
		{map[string]string{endpoint: "http://localhost:4318", "OTEL_SDK_DISABLED": "no"}, true},
	} {
		if got := environment(c.env).on(); got != c.want {
			t.Errorf("%v: %t, want %t", c.env, got, c.want)
		}
	}
}

func TestEveryMistakeInTheVariablesForTracesIsToldAndNoSecret(t *testing.T) {
	const secret = "do-not-tell-3c1f"
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(noPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example:4318/tenant/" + secret, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20" + secret + ", x-scope=a b", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
		"OTEL_EXPORTER_OTLP_TIMEOUT": "5000", "OTEL_TRACES_SAMPLER": "ParentBased_TraceIDRatio", "OTEL_TRACES_SAMPLER_ARG": "0.25",
		"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test,team=a%20b", "OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_PROPAGATORS": "b3",
	}
	if wrong := environment(good).mistakes(); wrong != nil {
		t.Errorf("of what is as it should be: %v", wrong)
	}
	for name, bad := range map[string][]string{
		"OTEL_TRACES_EXPORTER":           {"zipkin", "otlp,console"},
		"OTEL_EXPORTER_OTLP_PROTOCOL":    {"http/json", "udp"},
		"OTEL_EXPORTER_OTLP_ENDPOINT":    {"localhost:4318", "http://", "http://a:" + secret + "@b:4318", "http://a:4318?key=" + secret, "ftp://a:4318", "http://%zz", "://"},
		"OTEL_EXPORTER_OTLP_HEADERS":     {secret, "a b=" + secret, "a=%zz" + secret, "a=b%0d%0ac: " + secret, "a=1,"},
		"OTEL_EXPORTER_OTLP_COMPRESSION": {"zstd"},
		"OTEL_EXPORTER_OTLP_TIMEOUT":     {"5s", "0", "-1", "99999999999999999999"},
		"OTEL_EXPORTER_OTLP_CERTIFICATE": {filepath.Join(t.TempDir(), "missing.pem"), noPEM},
		"OTEL_TRACES_SAMPLER":            {"jaeger_remote"},
		"OTEL_TRACES_SAMPLER_ARG":        {"half", "-0.1", "1.1", "NaN"},
		"OTEL_RESOURCE_ATTRIBUTES":       {"test", "a=1,", "=1"},
		"OTEL_BSP_MAX_QUEUE_SIZE":        {"-1", "0", "9999999999", "many"},
	} {
		for _, value := range bad {
			env := maps.Clone(good)
			env[name] = value
			wrong := environment(env).mistakes()
			if len(wrong) != 1 || !strings.HasPrefix(wrong[0].Error(), name) || strings.Contains(wrong[0].Error(), secret) || strings.Contains(wrong[0].Error(), "\n") {
				t.Errorf("%s=%s: %v", name, value, wrong)
			}
		}
	}
	half := maps.Clone(good)
	half["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"] = noPEM
	if wrong := environment(half).mistakes(); len(wrong) != 1 {
		t.Errorf("of a certificate without its key: %v", wrong)
	}
	all := map[string]string{"OTEL_TRACES_EXPORTER": "x", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "x", "OTEL_TRACES_SAMPLER": "x"}
	if wrong := environment(all).mistakes(); len(wrong) != len(all) || !strings.Contains(errors.Join(wrong...).Error(), "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=x") {
		t.Errorf("of %d mistakes: %v", len(all), wrong)
	}
	if to := environment(good).collector(); to != "https://collector.example:4318" {
		t.Errorf("the log says that traces go to %s", to)
	}
	for _, address := range []string{"collector:4317", "http://collector:4317"} {
		if wrong := environment(map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": address}).mistakes(); wrong != nil {
			t.Errorf("gRPC at %s: %v", address, wrong)
		}
	}
}

func TestComplaintsComeOnceAMinuteAndWithoutSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := environment(map[string]string{
			"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20token-11,x-key=key-22", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/receiver/path-33",
		})
		var said bytes.Buffer
		c := newComplaints(newLog(&said, "info"), env.secrets())
		for range 1000 { // some sixteen minutes
			c.Handle(fmt.Errorf("failed to send to http://collector:4318/receiver/path-33/v1/traces: 401 (body: Bearer token-11 or token-11 or key-22 %s)", strings.Repeat("<br>", 10_000)))
			time.Sleep(time.Second)
		}
		lines := slices.Collect(strings.Lines(said.String()))
		if len(lines) != 17 || !strings.Contains(lines[1], `"and_before":59`) || !strings.Contains(lines[0], "failed to send to http://collector:4318/") {
			t.Errorf("%d lines, the second of which is %s", len(lines), lines[min(1, len(lines)-1)])
		}
		if len(lines[0]) > 600 {
			t.Errorf("a line of %d bytes", len(lines[0]))
		}
		for _, secret := range []string{"token-11", "key-22", "path-33"} {
			if strings.Contains(said.String(), secret) {
				t.Errorf("it tells %s", secret)
			}
		}
	})
}
