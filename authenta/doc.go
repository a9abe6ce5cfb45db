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
package authenta
