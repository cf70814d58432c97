// The smallest tunnel of hashicorp/yamux, for the comparison: the far end connects to the near
// one, which opens a stream for every connection of a user.
//
//	near            takes the session of a far end, and users
//	far NEAR TO     connects to NEAR, and forwards what it opens to TO
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"

	"github.com/hashicorp/yamux"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "near":
		err = near()
	case len(os.Args) == 4 && os.Args[1] == "far":
		err = far(os.Args[2], os.Args[3])
	default:
		err = fmt.Errorf("usage: %s near | far NEAR TO", os.Args[0])
	}
	log.Fatal(err)
}

func near() error {
	sessions, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	users, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("sessions", sessions.Addr())
	fmt.Println("at", users.Addr())
	transport, err := sessions.Accept()
	if err != nil {
		return err
	}
	session, err := yamux.Server(transport, nil)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		user, err := users.Accept()
		if err != nil {
			return err
		}
		go forward(user, func() (net.Conn, error) { return session.Open() })
	}
}

func far(at, to string) error {
	transport, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	session, err := yamux.Client(transport, nil)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		stream, err := session.Accept()
		if err != nil {
			return err
		}
		go forward(stream, func() (net.Conn, error) { return net.Dial("tcp", to) })
	}
}

func forward(from net.Conn, open func() (net.Conn, error)) {
	defer from.Close()
	to, err := open()
	if err != nil {
		log.Print(err)
		return
	}
	defer to.Close()
	var done sync.WaitGroup
	done.Go(func() { pipe(to, from) })
	done.Go(func() { pipe(from, to) })
	done.Wait()
}

// pipe copies one way and passes the end of file on: a yamux stream's Close closes its write side.
func pipe(to, from net.Conn) {
	io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	} else {
		to.Close()
	}
}
