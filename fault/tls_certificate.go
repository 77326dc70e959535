package fault

// TLSCertificate shows callers a certificate that they should not accept.
var TLSCertificate = define("tls.certificate",
	"Show callers a certificate that they should not accept.",
	Certificate{Wrong: CertificateExpired},
	`
kind: tls.certificate
target: {service: payment-service}
params: {wrong: expired}
share: 50%
`, Kind{
		Acts:             OnEdges,
		Grounds:          []string{"relay"},
		TLSOnly:          true,
		WholeConnections: true,
		Details: `Needs an edge whose relay answers TLS itself: one with tls. Each new connection that was drawn is given the certificate; open ones go on, and sessions are not resumed meanwhile, since a caller that resumes one looks at no certificate. A connection counts as hurt once the certificate was shown: a caller that goes on all the same does not verify, which is what there is to find.

expired was good until an hour ago; wrong-name is for a name that nobody has; untrusted is signed by an authority made for it, so that callers that trust chaosctl's own do not accept it either.`,
		Flags: []Flag{{Name: "tls-certificate", Param: "wrong", Value: "WHAT", Usage: "show callers a certificate that is expired, for the wrong-name, or untrusted", Chooses: true}},
	})

// Certificate are the params of tls.certificate.
type Certificate struct {
	// Wrong is what is wrong with it; expired by default.
	Wrong WrongCertificate `json:"wrong,omitempty" doc:"what is wrong with it: expired, wrong-name or untrusted" enum:"expired,wrong-name,untrusted"`
}

// WrongCertificate is what is wrong with a certificate.
type WrongCertificate string

// What may be wrong.
const (
	CertificateExpired   WrongCertificate = "expired"
	CertificateWrongName WrongCertificate = "wrong-name"
	CertificateUntrusted WrongCertificate = "untrusted"
)

// Validate refuses what there is not.
func (p *Certificate) Validate() error {
	return oneOf("wrong", p.Wrong, CertificateExpired, CertificateWrongName, CertificateUntrusted)
}
