package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// What a worker passes to a machine that is gone, because it has not heard of that, is put there after everything was offered.
func TestWhatIsPassedToAMachineThatHasJustGoneIsOfferedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o offers
		want := func(made, settled bool) {
			t.Helper()
			if o.made("a") != made || o.settled("a") != settled {
				t.Errorf("made %t, settled %t; want %t, %t", o.made("a"), o.settled("a"), made, settled)
			}
		}
		o.make("a b", 0)
		want(false, false)
		o.make("a", 3)
		want(true, false)
		time.Sleep(offersAgain)
		want(false, false)
		o.make("a", 0)
		want(true, true)
		time.Sleep(time.Hour)
		want(true, true)

		o.make("a b", 0)
		o.make("a", 0) // b has gone, and nothing waited for it
		want(true, true)
		time.Sleep(offersAgain)
		want(false, true)
		o.make("a", 0)
		time.Sleep(time.Hour)
		want(true, true)
	})
}
