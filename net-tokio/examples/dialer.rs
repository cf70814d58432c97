//! An agent whose targets are no sockets: the embedder's own dialer answers each dial, here with an
//! echo in the same process.
//!
//! ```sh
//! cargo run -p watertight --example dialer
//! ```

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, duplex, split};
use tokio::net::TcpListener;
use watertight::{Agent, AuthRequest, DialRefusal, Refusal, ResetCode, Server};

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let server = Server::builder(|request: AuthRequest| async move {
        request.client_key.ok_or_else(|| Refusal::bad_request("no client key"))
    })
    .build();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("tcp://{}", listener.local_addr()?).parse()?;
    server.listen(listener, None);
    let agent = Agent::builder(endpoint, "edge-7").dialer(dial).start();
    agent.connected().await?;

    let mut stream = server.dial("edge-7", "echo/1").await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert_eq!(answer, "hello");
    let error = server.dial("edge-7", "tcp/127.0.0.1:22").await.err();
    println!(
        "echo: {answer}; anything else: {}",
        error.map_or_else(String::new, |e| e.to_string())
    );

    drop(stream);
    let ledger = agent.shutdown(Duration::from_secs(5)).await;
    assert!(ledger.is_settled(), "the agent holds nothing");
    let ledger = server.shutdown(Duration::from_secs(5)).await;
    assert!(ledger.is_settled(), "the server holds nothing");
    Ok(())
}

/// Returns a byte stream for a target, or a refusal for the dialler.
async fn dial(target: String) -> Result<tokio::io::DuplexStream, DialRefusal> {
    if !target.starts_with("echo/") {
        return Err(DialRefusal::new(ResetCode::DIAL_REFUSED, "only echo/ can be dialled"));
    }
    let (near, far) = duplex(64 << 10);
    tokio::spawn(async move {
        let (mut read, mut write) = split(far);
        copy(&mut read, &mut write).await?;
        write.shutdown().await
    });
    Ok(near)
}
