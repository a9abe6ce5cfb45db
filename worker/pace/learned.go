package pace

import "time"

// Thrift is the account of single calls in vain in one class. The zero value owes nothing.
type Thrift struct{ credit float64 }

const (
	// perVerdict is what each verdict brings. An account affords half a call in vain per upload (see the package);
	// the rest is for pages of the list, repeats after errors, and the debts that mostDebt forgives.
	perVerdict = 0.35
	// mostCredit and mostDebt bound the account, so that old luck does not pay for new waste, nor a bad hour hold
	// back the results of a whole day.
	mostCredit, mostDebt = 3.0, -3.0
)

// Found books a verdict.
func (t *Thrift) Found() { t.credit = min(mostCredit, t.credit+perVerdict) }

// Vain books a single call that brought none.
func (t *Thrift) Vain() { t.credit = max(mostDebt, t.credit-1) }

// Alpha returns how likely a result has to be there before a single call asks for it: 97 % in debt, falling to 60 %
// with a credit of two calls.
func (t *Thrift) Alpha() float64 {
	const debtor, rich, enough = 0.97, 0.60, 2.0
	return debtor - (debtor-rich)*min(1, max(0, t.credit/enough))
}

// Learned is what one process knows of a class: what was known when it loaded the class's record, and what it has
// found out since, which it has yet to add to the record. It is not safe for concurrent use.
type Learned struct {
	Thrift Thrift
	times  Times // all that is known
	news   Times // the part of it that is not in the record
}

// Times returns what is known. It is to be read only.
func (l *Learned) Times() *Times { return &l.times }

// Found notes that the result was there at the age hi, and not at the age lo; 0: it was never asked for before.
func (l *Learned) Found(lo, hi time.Duration) {
	e := l.times.result(lo, hi)
	l.times.Add(&e)
	l.news.Add(&e)
	l.Thrift.Found()
}

// Vain notes that the result was not there at the age hi, as it was not at the age lo; 0: it was never asked for before.
// Single says that a call was spent on this medium alone.
func (l *Learned) Vain(lo, hi time.Duration, single bool) {
	l.times.Vain(lo, hi)
	l.news.Vain(lo, hi)
	if single {
		l.Thrift.Vain()
	}
}

// Take hands over what is to be added to the record. Should that fail, GiveBack takes it again.
func (l *Learned) Take() Times {
	news := l.news
	l.news = Times{}
	return news
}

// GiveBack takes back what could not be added to the record.
func (l *Learned) GiveBack(news *Times) { l.news.Add(news) }

// Load takes over the record, to which other processes may have added.
func (l *Learned) Load(record *Times) {
	l.times = *record
	l.times.Add(&l.news)
}
