package queue

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// CheckSubject reports why media cannot be taken from a subject.
func (n Namespace) CheckSubject(s string) error {
	tokens := strings.Split(s, ".")
	for i, t := range tokens {
		switch {
		case t == "":
			return fmt.Errorf("%q is no subject: want names with dots between them, such as media.in", s)
		case strings.ContainsFunc(t, unicode.IsSpace), len(t) > 1 && strings.ContainsAny(t, "*>"), t == ">" && i < len(tokens)-1:
			return fmt.Errorf("%q is no subject: * stands for a whole name between dots, > for all names at the end", s)
		}
	}
	switch first := tokens[0]; {
	case first == ">", first == "*":
		return fmt.Errorf("%q would take in everything that is published: begin with a name, such as media.>", s)
	case strings.HasPrefix(first, "$"), first == "_INBOX":
		return fmt.Errorf("%q belongs to NATS itself", s)
	case first == string(n) && s != n.subject("intake"):
		return fmt.Errorf("%q is where this program publishes (INGEST_NAMESPACE=%s): choose another", s, n)
	}
	return nil
}

// covers reports whether every subject that b matches is matched by a.
func covers(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i, t := range as {
		switch {
		case i >= len(bs):
			return false
		case t == ">":
			return true
		case t != bs[i] && (t != "*" || bs[i] == ">"):
			return false
		}
	}
	return len(as) == len(bs)
}

// leaveOutCovered returns the subjects that none of the others covers, each once.
func leaveOutCovered(subjects []string) []string {
	all := slices.Compact(slices.Sorted(slices.Values(subjects)))
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		return slices.ContainsFunc(all, func(other string) bool { return other != s && covers(other, s) })
	})
}
