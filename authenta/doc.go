// Package authenta is a client of Authenta's Media API: create a media record, put the file to the presigned URL that
// comes with it, and get the record until it holds a result.
//
//	POST /api/media       Client.Create   a Mutation
//	PUT to the upload URL Client.Upload   counts against no quota; starts the processing, which costs credits
//	GET /api/media/{mid}  Client.Get      a Query
//	GET /api/media        Client.List     a Query
//	DELETE /api/media/…   Client.Delete   a Mutation
//
// A method makes one attempt, follows no redirect and never logs. Every error is an [*Error], whose Kind says whether
// and how the call may be repeated, and whose MaybeDone says whether it may have been carried out although nobody said
// so. Pacing, retries and the count of calls are the caller's: net/http is kept from repeating a call by itself.
//
// The account's keys go to the platform only, never to the storage host. Neither they nor the query strings of
// presigned URLs, which are as good as keys, are in any error or in what [PresignedURL] and [Credentials] print.
//
// What the platform sends is read leniently: numbers and booleans may be strings, fields may be missing, and an unknown
// status means "not yet".
//
// Nor is it trusted. What is read of an answer, and what is taken over from it, is limited, so that memory stays flat and
// a record can be kept; texts are made fit for a terminal; and an upload goes nowhere that the platform has no business:
// see Options.Forbidden.
package authenta
