// The other end of watertight's interop tests: remotedialer, used as a library the way its users
// do, as a server, a peer or a client (which watertight calls an agent).
//
// A test drives it over HTTP at the address that it prints first: see control.go.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/sirupsen/logrus"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: %s server|client [flags]", os.Args[0]))
	}
	logrus.SetOutput(os.Stderr)
	var err error
	switch role, args := os.Args[1], os.Args[2:]; role {
	case "server":
		err = runServer(args)
	case "client":
		err = runClient(args)
	default:
		err = fmt.Errorf("%q is neither server nor client", role)
	}
	if err != nil {
		fail(err)
	}
}

// newFlags returns a set of flags with those that both roles have.
func newFlags(role string) (flags *flag.FlagSet, key, token *string) {
	flags = flag.NewFlagSet(role, flag.ExitOnError)
	key = flags.String("key", "", "the client key")
	token = flags.String("token", "", "the token that clients present")
	return flags, key, token
}

// announce prints an address, or that this end is ready, for the test that started it.
func announce(what string, value any) {
	fmt.Println(what, value)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
