package worker

import "time"

// longestPause bounds the time between two polls, and so the lag of a result that takes half an hour.
const longestPause = 2 * time.Minute

// nextPoll returns how long to wait before a medium that has been with the platform for age is asked about again:
// half its age, so that the lag stays a third of the time a result takes, and the polls are few; but no less than
// the age of the first poll.
func nextPoll(age, first time.Duration) time.Duration {
	if age < first {
		return first - age
	}
	return max(first, min(age/2, longestPause))
}
