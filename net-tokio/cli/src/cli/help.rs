//! The texts that `--help` ends with.

pub(super) const PROGRAM: &str = "\
Exit codes:
  0    the ledger is even: everything that was opened was closed
  1    the ledger is not even, or a check of the demo failed
  2    the command line, the environment or a file is wrong; nothing was started
  3    the system did not give what was asked for, such as a port; nothing was started
  128+ stopped by a third signal, without waiting for anything

Output:
  Standard output has the addresses that are listened on; then a line `ready`, which a server prints
  when it listens everywhere and an agent when it is connected for the first time; and, as the last
  line, the ledger. With --log-format json each line is a JSON object, such as {\"ready\":true}. The
  log goes to standard error; there an agent reports each session and why it has none. Neither
  stops the program where nobody reads: lines of the log that would wait behind more than 1 MiB are
  left out, and the log has their number.

Signals:
  SIGTERM, Ctrl-C   take nothing new, let open connections finish, then print the ledger and exit
  the second time   close the connections that are still open
  the third time    exit at once
  SIGHUP            the server reads its token file, certificate and key again; sessions stay up;
                    an agent reads its token and certificate files before each connection anyway

A first try, in three terminals:
  echo a-long-random-secret > token
  watertight server --listen 127.0.0.1:7000 --token-file token --forward 127.0.0.1:8080=me=localhost:80
  watertight agent --connect ws://127.0.0.1:7000/connect --key me --token-file token --allow localhost:80
  curl http://127.0.0.1:8080/";

pub(super) const SERVER: &str = "\
Examples:
  Agents connect over TLS; port 8080 here is port 80 on the machine of agent edge-7:
    watertight server --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem \\
      --token-file /etc/watertight/tokens --forward 127.0.0.1:8080=edge-7=localhost:80

  HTTP to anything that the agents may dial, through the admin server:
    watertight server --listen 0.0.0.0:7000 --token-file tokens --admin 9090
    curl http://127.0.0.1:9090/clients
    curl http://127.0.0.1:9090/client/edge-7/http/localhost:3000/api/status

  Two servers that reach each other's agents; the second one has the same options, reversed:
    watertight server ... --peer-id a --peer-token-file /etc/watertight/peer-token \\
      --peer wss://b.example.com/connect,b

The token file:
  # only edge-7 may use this one: openssl rand -hex 32
  edge-7 6b1f0c5e9a77d2c9e04b51f2a38cd0e7
  # any agent may use this one, with a key that has no line
  8e13c4f7055bd92a61c0f3e8b7a94d26

The same as a file for --config:
  [server]
  listen = \"0.0.0.0:7000\"
  token-file = \"/etc/watertight/tokens\"
  forward = [\"127.0.0.1:8080=edge-7=localhost:80\"]
  drain-timeout = \"1m\"

The environment has each option under the name WATERTIGHT_SERVER_, such as
WATERTIGHT_SERVER_TOKEN_FILE. Exit codes and signals: watertight --help.";

pub(super) const AGENT: &str = "\
Examples:
  Let the server reach the web server of this machine, and nothing else:
    watertight agent --connect wss://tunnel.example.com/connect --key edge-7 \\
      --token-file /etc/watertight/token --allow localhost:80

  A whole network and a Unix socket, through a proxy:
    watertight agent --connect wss://tunnel.example.com/connect --key lab --token-file token \\
      --allow 10.1.0.0/16:* unix:/run/docker.sock --proxy http://proxy.example.com:3128

  Reach a database beside the server as if it ran here (the server has --allow-dial db:5432):
    watertight agent ... --forward 127.0.0.1:5432=db:5432

The same as a file for --config:
  [agent]
  connect = \"wss://tunnel.example.com/connect\"
  key = \"edge-7\"
  token-file = \"/etc/watertight/token\"
  allow = [\"localhost:80\", \"10.1.0.0/16:*\"]

The environment has each option under the name WATERTIGHT_AGENT_, such as WATERTIGHT_AGENT_KEY.
Exit codes and signals: watertight --help.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  watertight completions bash > /etc/bash_completion.d/watertight
  watertight completions zsh > \"${fpath[1]}/_watertight\"
  watertight completions fish > ~/.config/fish/completions/watertight.fish";
