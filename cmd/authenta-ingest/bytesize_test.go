package main

import "testing"

func TestSizesAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1000": 1000, "10kB": 10_000, "10 kb": 10_000, "10K": 10_000, "1.5GB": 1_500_000_000, "2 GiB": 2 << 30,
		" 64MiB ": 64 << 20, "9223372036854775807": 1<<63 - 1, "1.5EB": 1_500_000_000_000_000_000,
	} {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err != nil || s.bytes != want {
			t.Errorf("%q is %d bytes, %v, want %d", text, s.bytes, err, want)
		}
		var again byteSize
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%q is shown as %q, which is %d bytes, %v", text, s.String(), again.bytes, err)
		}
	}
	for _, text := range []string{
		"", " ", "B", "kB", "-1", "+1", "1,5GB", "1.000,5", "1e3", "NaN", "Inf", "1..5", "1 x", "10 kB/s", "9223372036854775808", "16EB",
		"99999999999999999999", "٣", "1\n2", "0x10",
	} {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %d bytes", text, s.bytes)
		}
	}
}
