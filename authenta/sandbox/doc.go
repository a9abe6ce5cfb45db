// Package sandbox is a simulated Authenta platform: the Media API and the object storage behind its upload URLs,
// as one [http.Handler].
//
// It is for demonstrations and for tests that must know what really happened: the [Ledger] says which calls were
// made, what was paid for and how often, and [Fault] makes things go wrong as they do on a network.
//
// What it promises:
//   - The platform's order of checks, its error bodies in both generations (key pair and bearer key), its quotas and
//     its credits. Bearer keys have no call quotas.
//   - Storage that insists on what was signed, and that never keeps part of an object. Every complete PUT starts
//     processing and is paid for, the second PUT of the same bytes too.
//   - Results that depend on the content alone: see [OutcomeOf].
//   - Flat memory: uploaded bytes are hashed and forgotten. So a srcURL is well signed, but there is nothing behind it.
//   - No goroutines and no timers: a status is worked out from the clock when somebody asks.
//
// It leaves out the Jobs API, accounts with several keys, and the reference image of FI-1.
package sandbox
