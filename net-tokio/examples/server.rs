//! A server: one token for all agents, and a local port that leads to a target behind one of them.
//!
//! ```sh
//! TOKEN=secret cargo run -p watertight --example server
//! TOKEN=secret cargo run -p watertight --example agent
//! curl http://127.0.0.1:8081
//! ```

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use watertight::{AuthRequest, Listener, Refusal, Server};

#[tokio::main]
async fn main() -> io::Result<()> {
    let token = std::env::var("TOKEN").map_err(io::Error::other)?;
    let server = Server::builder(move |request: AuthRequest| {
        let is_right = request.token_is(&token);
        let key = request.client_key.clone().filter(|_| is_right);
        async move { key.ok_or_else(|| Refusal::unauthorized("unknown token")) }
    })
    .build();
    server.listen(TcpListener::bind("127.0.0.1:8080").await?, None);
    // The target is a port of the agent's machine.
    let users = Listener::Tcp(TcpListener::bind("127.0.0.1:8081").await?);
    let _forward = server.forward(users, "edge-7", "tcp/127.0.0.1:8000");

    let mut events = server.subscribe();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Ok(Some(event)) => println!("{event:?}"),
                Ok(None) => break,
                Err(lagged) => println!("{lagged}"),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    let ledger = server.shutdown(Duration::from_secs(10)).await;
    println!("{ledger:?}");
    assert!(ledger.is_settled(), "the server holds nothing");
    Ok(())
}
