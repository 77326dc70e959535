// Command iocopy is the least a TCP proxy written in Go can do: io.Copy both
// ways, and the end of one direction passed on. The benchmark measures it to
// know what Go's net package gives for free.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: iocopy UPSTREAM; it prints the address it listens on")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "iocopy:", serve(os.Args[1]))
	os.Exit(1)
}

// serve returns only when it cannot go on.
func serve(upstream string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for {
		client, err := l.Accept()
		if err != nil {
			return err
		}
		go proxy(client.(*net.TCPConn), upstream)
	}
}

func proxy(client *net.TCPConn, upstream string) {
	defer client.Close()
	c, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		pass(client, server)
	}()
	pass(server, client)
	<-answered
}

func pass(to, from *net.TCPConn) {
	_, _ = io.Copy(to, from) // an error is an end, too
	_ = to.CloseWrite()
}
