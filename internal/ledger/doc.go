// Package ledger keeps the exchanges of a run and reads behaviour out of them.
//
// A [Writer] takes exchanges in while a run is under way, and keeps them in a file. A
// [Book] is what is read back: compact, in memory, in the order of their starts. A
// [View] is a book seen through a run: its exchanges grouped into calls and attempts,
// and each with the exchange that it was made for (its parent). From a view behaviour
// is inferred, edge by edge: [View.Behaviours].
//
// All of it but the writer is pure functions: the same exchanges and the same run always
// say the same. What was not seen is unknown, with the reason, and never a guess.
package ledger
