// Package pace says when to ask the platform for the result of an uploaded medium, and whether to ask by pages of the
// list or one by one.
//
// A Query call is scarce: the platform grants 1.5 of them per Mutation, that is per upload, and a verdict takes one
// itself. What is left is half a call in vain per medium. So the package learns how long results take (Times), keeps
// account of the calls in vain (Thrift), and puts off each medium until its result is likely there; and while many
// are awaited, one page of the list tells about all that are due, and has them due at the same instants (Crowd).
//
// It promises to be a calculation: no calls, no goroutines, no clock and no chance of its own. It leaves to its caller
// the calls, their rate, what is kept across restarts, and mutual exclusion.
//
// A worker goes through these steps with each medium that is due:
//  1. Those due within about 100 ms of each other are gathered. What a page told less than half a grid step ago, and after
//     the medium was last asked about, is an answer.
//  2. Choose says whether pages of the list or single calls are the cheaper for the rest. After every page it is asked
//     again, with one page, for those not found on one yet. Crowd.Due is how many the look left unfinished.
//  3. Single calls are made one after another, and before each Crowd.Next is asked once more, whether it still is time
//     (Step.Ripe). That is what keeps a crowd from asking in vain as one: the first answers tell the others. Those
//     that go by the list are not put off so: they were due together, and would be scattered.
//  4. Each answer is reported, by Learned.Found when the result was seen to be there, or by Learned.Vain.
package pace
