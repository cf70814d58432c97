package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rancher/remotedialer"
	"github.com/sirupsen/logrus"
)

// retry is how long a client waits before it connects again. remotedialer's own default is 5 s,
// which is long for a test.
const retry = 200 * time.Millisecond

// runClient runs a client that connects again and again.
func runClient(args []string) error {
	flags, key, token := newFlags("client")
	url := flags.String("connect", "", "the server, ws://HOST:PORT/connect")
	allow := flags.String("allow", "", "what the server may dial on this side, separated by commas")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var current atomic.Pointer[remotedialer.Session]
	control := newControl(func(string) (dial, error) {
		session := current.Load()
		if session == nil {
			return nil, errors.New("not connected")
		}
		return func(network, address string) (net.Conn, error) {
			return session.Dial(context.Background(), network, address)
		}, nil
	})
	if err := serve("control", control); err != nil {
		return err
	}
	headers := http.Header{
		"X-Tunnel-ID":   {*key},
		"Authorization": {"Bearer " + *token},
	}
	var ready sync.Once
	for {
		err := remotedialer.ConnectToProxy(context.Background(), *url, headers, allowList(*allow), nil,
			func(_ context.Context, session *remotedialer.Session) error {
				current.Store(session)
				ready.Do(func() { announce("ready", "") })
				return nil
			})
		current.Store(nil)
		logrus.WithError(err).Warn("not connected")
		time.Sleep(retry)
	}
}
