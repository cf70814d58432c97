package main

import (
	"errors"
	"io"
	"net"
	"sync"

	"github.com/sirupsen/logrus"
)

// dial opens a connection through the tunnel.
type dial func(network, address string) (net.Conn, error)

// listenAndForward forwards connections of a loopback port of its own to what open returns, for as
// long as the process lives. It returns the port's address.
func listenAndForward(open func() (net.Conn, error)) (net.Addr, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			local, err := listener.Accept()
			if err != nil {
				fail(err)
			}
			go forward(local.(*net.TCPConn), open)
		}
	}()
	return listener.Addr(), nil
}

func forward(local *net.TCPConn, open func() (net.Conn, error)) {
	defer local.Close()
	remote, err := open()
	if err != nil {
		logrus.WithError(err).Warn("dial failed")
		reset(local)
		return
	}
	defer remote.Close()
	pipe(local, remote)
}

// pipe copies both ways until either direction has ended: remotedialer has no half-close.
func pipe(local *net.TCPConn, remote net.Conn) {
	var done sync.WaitGroup
	done.Go(func() {
		io.Copy(remote, local)
		remote.Close()
		local.Close()
	})
	_, err := io.Copy(local, remote)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		reset(local)
	}
	remote.Close()
	local.Close()
	done.Wait()
}

// reset has the connection end with a reset, so that nobody takes what arrived for all there was.
func reset(local *net.TCPConn) {
	local.SetLinger(0)
}
