package relay_test

// portIsKept: on Linux a refused port cannot be taken by others.
const portIsKept = true
