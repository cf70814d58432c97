package main

import (
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rancher/remotedialer/metrics"
)

// dialer finds the dialer for a client key. A client has one dialer, and looks at no key.
type dialer func(clientKey string) (dial, error)

// newControl returns what both roles have for their test:
//
//	GET  /metrics                       remotedialer's own, and those of the Go runtime
//	GET  /goroutines                    how many work for the tunnel; none of this control server's,
//	                                    which come and go with each request
//	POST /forward?client=KEY&target=T   opens a port whose connections are dialled through the
//	                                    tunnel; T is tcp/HOST:PORT; answers with the port's address
//	POST /collect                       collects garbage, and gives the memory back
func newControl(find dialer) *http.ServeMux {
	metrics.Register()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.Handler())
	mux.HandleFunc("GET /goroutines", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, goroutines())
	})
	mux.HandleFunc("POST /collect", func(http.ResponseWriter, *http.Request) {
		debug.FreeOSMemory()
	})
	mux.HandleFunc("POST /forward", func(rw http.ResponseWriter, req *http.Request) {
		query := req.URL.Query()
		network, address, ok := strings.Cut(query.Get("target"), "/")
		if !ok {
			http.Error(rw, "target is not NETWORK/ADDRESS", http.StatusBadRequest)
			return
		}
		clientKey := query.Get("client")
		at, err := listenAndForward(func() (net.Conn, error) {
			dial, err := find(clientKey)
			if err != nil {
				return nil, err
			}
			return dial(network, address)
		})
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(rw, at)
	})
	return mux
}

// ofTheTunnel are what stands on the stacks of goroutines that work for the tunnel.
var ofTheTunnel = []string{"github.com/rancher/remotedialer.", "main.forward(", "main.pipe"}

// goroutines counts those that work for the tunnel.
func goroutines() int {
	stacks := make([]byte, 1<<20)
	for {
		length := runtime.Stack(stacks, true)
		if length < len(stacks) {
			stacks = stacks[:length]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	count := 0
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		if slices.ContainsFunc(ofTheTunnel, func(what string) bool { return strings.Contains(stack, what) }) {
			count++
		}
	}
	return count
}

// serve serves handler on a loopback port of its own, and announces it.
func serve(what string, handler http.Handler) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	announce(what, listener.Addr())
	go func() { fail(http.Serve(listener, handler)) }()
	return nil
}
