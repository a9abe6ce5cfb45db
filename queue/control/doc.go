// Package control is what the processes of a cluster agree on: which calls the account takes now ([Gate]), how many calls
// are left of what was granted ([Budget]), how the call rates are shared ([Pacer]), and who is there ([Member]).
//
// All of it is in one bucket of the queue's, changed by compare-and-set and followed by every process, so that a process
// that closes a gate closes it for all, and one that dies gives its share back. The records outlive restarts.
//
// The package makes no call to the platform. Whoever does asks it before, and tells it what was answered.
package control
