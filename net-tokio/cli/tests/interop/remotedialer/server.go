package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/rancher/remotedialer"
)

// runServer runs a server, which is a peer of others if it has a peer id. Beside what newControl
// gives, its test has:
//
//	GET    /reaches?client=KEY             whether it has a session of that client, or a peer has
//	POST   /peers?url=URL&id=ID&token=T    connects to a peer, which presents T; repeats for ever
//	DELETE /peers?id=ID                    no longer
func runServer(args []string) error {
	flags, _, token := newFlags("server")
	allow := flags.String("allow", "", "what clients may dial on this side, separated by commas")
	peerID := flags.String("peer-id", "", "the id that this end presents to peers")
	peerToken := flags.String("peer-token", "", "the token that this end presents to peers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	server := remotedialer.New(authorizer(*token), remotedialer.DefaultErrorWriter)
	server.ClientConnectAuthorizer = allowList(*allow)
	server.PeerID, server.PeerToken = *peerID, *peerToken

	control := newControl(func(clientKey string) (dial, error) {
		if !server.HasSession(clientKey) {
			return nil, fmt.Errorf("no session of %q", clientKey)
		}
		through := server.Dialer(clientKey)
		return func(network, address string) (net.Conn, error) {
			return through(context.Background(), network, address)
		}, nil
	})
	control.HandleFunc("GET /reaches", func(rw http.ResponseWriter, req *http.Request) {
		fmt.Fprint(rw, server.HasSession(req.URL.Query().Get("client")))
	})
	control.HandleFunc("POST /peers", func(_ http.ResponseWriter, req *http.Request) {
		query := req.URL.Query()
		server.AddPeer(query.Get("url"), query.Get("id"), query.Get("token"))
	})
	control.HandleFunc("DELETE /peers", func(_ http.ResponseWriter, req *http.Request) {
		server.RemovePeer(req.URL.Query().Get("id"))
	})
	if err := serve("control", control); err != nil {
		return err
	}
	agents := http.NewServeMux()
	agents.Handle("/connect", server)
	if err := serve("agents", agents); err != nil {
		return err
	}
	announce("ready", "")
	select {}
}

// authorizer takes key and token from the headers in which watertight's agent sends them.
func authorizer(token string) remotedialer.Authorizer {
	return func(req *http.Request) (string, bool, error) {
		key := req.Header.Get("X-Tunnel-ID")
		if key == "" {
			return "", false, errors.New("no client key")
		}
		presented, isBearer := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
		known := subtle.ConstantTimeCompare([]byte(presented), []byte(token)) == 1
		return key, isBearer && known, nil
	}
}

// allowList permits the given addresses and nothing else.
func allowList(list string) remotedialer.ConnectAuthorizer {
	allowed := strings.Split(list, ",")
	return func(_, address string) bool { return slices.Contains(allowed, address) }
}
