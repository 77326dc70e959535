// Package ca is a certificate authority for one machine: it signs the certificates
// that relays show to callers, so that those who trust it can be answered by TLS.
//
//	authority, made, err := ca.Open("/home/me/.local/state/chaosctl/ca")
//	leaf, err := authority.Leaf([]string{"pay.example"}, ca.Sound)
//
// The authority is one PEM file, its certificate and its key, that only its owner may
// read. Whoever has the key can make certificates for any name that those who trust
// the authority believe: trust it in tests and on machines of your own only, and
// never install it where people browse. It is not limited to some names, since
// nobody knows beforehand which callee a relay will stand for.
//
// Not for anything else than faults: nothing is revoked, and keys stand on disk in
// the clear.
package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	// Lifetime of an authority. A year: long enough that nobody installs it every
	// week, short enough that a forgotten one does not stay trusted.
	Lifetime = 365 * 24 * time.Hour
	// LeafLifetime is how long a certificate for callers is good. They are made anew
	// as needed and never stored.
	LeafLifetime = 24 * time.Hour
	// backdate is how long before its making a certificate is good: clocks differ.
	backdate = time.Hour
	// file is the name of an authority in its folder.
	file = "ca.pem"
)

// What a caller may decide on.
var (
	// ErrNone: there is no authority in the folder.
	ErrNone = errors.New("there is no certificate authority yet")
	// ErrExists: there is one already.
	ErrExists = errors.New("there is a certificate authority already")
)

// Authority signs certificates. Its methods may be called concurrently.
type Authority struct {
	path string
	cert *x509.Certificate
	key  crypto.Signer
	now  func() time.Time
	made leaves
}

// File is where an authority stands in its folder.
func File(folder string) string { return filepath.Join(folder, file) }

// Open returns the authority of a folder, and makes it if there is none: made tells.
func Open(folder string) (a *Authority, made bool, err error) {
	a, err = Load(folder)
	if !errors.Is(err, ErrNone) {
		return a, false, err
	}
	a, err = Create(folder, false)
	if errors.Is(err, ErrExists) { // another process was faster
		a, err = Load(folder)
		return a, false, err
	}
	return a, err == nil, err
}

// Load reads the authority of a folder; ErrNone if there is none. A file that others
// may read or write, that belongs to somebody else, or that is over, is an error.
func Load(folder string) (*Authority, error) {
	path := File(folder)
	data, err := readPrivate(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrNone)
	}
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, fmt.Errorf("%s holds no certificate with its key: %w; make a new one with `chaosctl ca init --force`", path, err)
	}
	a := &Authority{path: path, cert: pair.Leaf, now: time.Now}
	a.key, _ = pair.PrivateKey.(crypto.Signer)
	switch {
	case a.key == nil || !a.cert.IsCA:
		return nil, fmt.Errorf("%s is no certificate authority; make one with `chaosctl ca init --force`", path)
	case a.now().After(a.cert.NotAfter):
		return nil, fmt.Errorf("%s: the certificate authority was good until %s; make a new one with `chaosctl ca init --force`, and have callers trust that", path, a.cert.NotAfter.Format(time.DateOnly))
	}
	return a, nil
}

// Create makes an authority in a folder, which is made if need be. One that is there
// already is replaced if force is set; else that is ErrExists.
func Create(folder string, force bool) (*Authority, error) {
	path := File(folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the certificate authority: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	now := time.Now()
	name := fmt.Sprintf("chaosctl CA %.32s %s", host, now.Format(time.DateOnly))
	a, err := newAuthority(name, now)
	if err != nil {
		return nil, err
	}
	a.path = path
	text, err := a.private()
	if err != nil {
		return nil, err
	}
	if err := writePrivate(path, text, force); err != nil {
		return nil, err
	}
	return a, nil
}

// newAuthority makes one that stands nowhere.
func newAuthority(name string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name, Organization: []string{"chaosctl"}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(Lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of an authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{cert: cert, key: key, now: time.Now}, err
}

// serial is a number that no other certificate has.
func serial() *big.Int {
	n := make([]byte, 16)
	_, _ = rand.Read(n) // it never fails
	n[0] &= 0x7f
	n[0] |= 1
	return new(big.Int).SetBytes(n)
}

// Path is the file that holds certificate and key.
func (a *Authority) Path() string { return a.path }

// Certificate is the authority's own, for callers to trust.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// PEM is the certificate, without the key.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// private is certificate and key.
func (a *Authority) private() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("write the key of the authority: %w", err)
	}
	var b bytes.Buffer
	b.Write(a.PEM())
	err = pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return b.Bytes(), err
}
