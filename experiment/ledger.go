package experiment

import "github.com/chaosctl/chaosctl/fault"

// LedgerLine is an exchange with what its run says about it.
type LedgerLine struct {
	Exchange
	// Offset is when it began, from the start of the run; Took how long it lasted.
	Offset fault.Duration `json:"offset"`
	Took   fault.Duration `json:"took"`
	// Stage and Step of the run that it began in; empty if that is not known.
	Stage Stage  `json:"stage,omitempty"`
	Step  string `json:"step,omitempty"`
	// Outcome in a word: a status, "grpc 14", timeout (the caller hung up), reset; of the
	// traffic, its class. Failed tells whether a caller might try again for it; of the
	// traffic, whether it was no success.
	Outcome string `json:"outcome"`
	Failed  bool   `json:"failed,omitempty"`
	// Call that it is an attempt of; nil for requests of the traffic, and where
	// there was no room to group them.
	Call *LedgerCall `json:"call,omitempty"`
}

// LedgerCall says which attempt of which call an exchange is.
type LedgerCall struct {
	// No of the call in its ledger, from 1, in the order in which calls began.
	No int `json:"no"`
	// Attempt, from 1, Of how many.
	Attempt int `json:"attempt"`
	Of      int `json:"of"`
	// By is what they were grouped by, Sure the probability that they belong together.
	By   Keying  `json:"by,omitempty"`
	Sure float64 `json:"sure"`
}

// LedgerQuery picks exchanges of a ledger; what is empty picks all.
type LedgerQuery struct {
	// Edge is one edge, caller -> callee; Flow one flow of the traffic.
	Edge string `json:"edge,omitempty" query:"edge" maxLength:"500" doc:"those of one edge, caller -> callee"`
	Flow string `json:"flow,omitempty" query:"flow" maxLength:"500" doc:"those of one flow of the traffic, as the users saw them"`
	// Method and Path are what was asked for; Path is a glob as in fault.Match.
	Method string `json:"method,omitempty" query:"method" maxLength:"100" doc:"the method, for example POST"`
	Path   string `json:"path,omitempty" query:"path" maxLength:"500" doc:"glob over the path, for example /users/*: * stops at a slash, ** does not"`
	// Outcome is a word or several, separated by commas.
	Outcome string `json:"outcome,omitempty" query:"outcome" maxLength:"200" doc:"503, 5xx, timeout, reset, grpc 14 or a class of the traffic such as refused; several with commas"`
	// Failed and Hurt leave out what did not fail, or what no fault was applied to.
	Failed bool `json:"failed,omitempty" query:"failed" doc:"those that failed"`
	Hurt   bool `json:"hurt,omitempty" query:"hurt" doc:"those that a fault was applied to"`
	// Stage and Step that they began in.
	Stage string `json:"stage,omitempty" query:"stage" maxLength:"100" doc:"those of one stage: steady, inject, hurt, lift, recovery or judge"`
	Step  string `json:"step,omitempty" query:"step" maxLength:"500" doc:"those of one step"`
	// No are numbers and ranges of them, as evidence in reports gives them.
	No string `json:"no,omitempty" query:"no" maxLength:"4000" doc:"their numbers, for example 12,15-20"`
	// Call is the number of a call.
	Call int `json:"call,omitempty" query:"call" minimum:"0" doc:"the attempts of one call"`
	// Trace is a trace id, or its beginning.
	Trace string `json:"trace,omitempty" query:"trace" maxLength:"32" doc:"those of one trace: its id or the beginning of it"`
	// Since and Until are offsets of their start from that of the run.
	Since string `json:"since,omitempty" query:"since" maxLength:"50" doc:"those that began this long after the run did, or later"`
	Until string `json:"until,omitempty" query:"until" maxLength:"50" doc:"those that began less than this long after the run did"`
	// Limit is how many at most; 0 is all. With Calls, how many calls.
	Limit int `json:"limit,omitempty" query:"limit" minimum:"0" doc:"at most as many; 0 is all"`
	// Calls gives whole calls: all attempts of those that have one that fits.
	Calls bool `json:"calls,omitempty" query:"calls" doc:"all attempts of the calls of which one fits"`
}
