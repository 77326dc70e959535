// Command reverseproxy is a reverse proxy as Go's standard library gives it:
// net/http/httputil.ReverseProxy, with as many idle connections to its upstream as
// it likes. The benchmark measures it to know what an HTTP proxy in Go costs that
// does nothing of its own.
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: reverseproxy UPSTREAM; it prints the address it listens on")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "reverseproxy:", serve(os.Args[1]))
	os.Exit(1)
}

// serve returns only when it cannot go on.
func serve(upstream string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: upstream}) },
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
	})
}
