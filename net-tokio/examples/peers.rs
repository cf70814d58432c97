//! Two servers that dial through each other: an agent of one is dialled at the other.
//!
//! ```sh
//! cargo run -p watertight --example peers
//! ```

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use watertight::peering::{Peer, PeerIdentity};
use watertight::{Agent, AuthRequest, Endpoint, Policy, Refusal, Server};

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (a, at_a) = server("a").await?;
    let (b, at_b) = server("b").await?;
    // Each configures the other one, with the token that proves the other one's id.
    a.add_peer(Peer::new(at_b, "b", "token-of-b"))?;
    b.add_peer(Peer::new(at_a.clone(), "a", "token-of-a"))?;

    let target = TcpListener::bind("127.0.0.1:0").await?;
    let name = format!("tcp/{}", target.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = target.accept().await {
            socket.write_all(b"hello").await?;
        }
        io::Result::Ok(())
    });
    let policy: Policy = [name.parse()?].into_iter().collect();
    let agent = Agent::builder(at_a, "edge-7").policy(policy).start();
    agent.connected().await?;

    // The announcement of a client takes a moment to reach the other server.
    while b.peers_of("edge-7").is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut stream = b.dial("edge-7", &name).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    println!("through {:?}: {text}", b.peers_of("edge-7"));

    drop(stream);
    assert!(agent.shutdown(Duration::from_secs(5)).await.is_settled());
    assert!(a.shutdown(Duration::from_secs(5)).await.is_settled());
    assert!(b.shutdown(Duration::from_secs(5)).await.is_settled());
    Ok(())
}

async fn server(id: &str) -> Result<(Server, Endpoint), Error> {
    let server = Server::builder(|request: AuthRequest| async move {
        request.client_key.ok_or_else(|| Refusal::bad_request("no client key"))
    })
    .peering(PeerIdentity::new(id, &format!("token-of-{id}")))
    .build();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("ws://{}/connect", listener.local_addr()?).parse()?;
    server.listen(listener, None);
    Ok((server, endpoint))
}
