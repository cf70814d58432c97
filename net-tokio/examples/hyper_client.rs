//! HTTP through the tunnel with hyper's pooling client: server, agent and target in one process.
//!
//! ```sh
//! cargo run -p watertight --example hyper_client
//! ```

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use watertight::{Agent, AuthRequest, Policy, Refusal, Server};

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let at = target.local_addr()?;
    let app = Router::new().route("/", get(|| async { "through the tunnel" }));
    tokio::spawn(async move { axum::serve(target, app).await });

    let server = Server::builder(|request: AuthRequest| async move {
        request.client_key.ok_or_else(|| Refusal::bad_request("no client key"))
    })
    .build();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("ws://{}/connect", listener.local_addr()?).parse()?;
    server.listen(listener, None);
    let policy: Policy = [format!("tcp/{at}").parse()?].into_iter().collect();
    let agent = Agent::builder(endpoint, "edge-7").policy(policy).start();
    agent.connected().await?;

    // The client keeps its connections open in a pool, as it does without a tunnel.
    let client: Client<_, String> =
        Client::builder(TokioExecutor::new()).build(server.connector("edge-7"));
    let answer = client.get(format!("http://{at}/").parse()?).await?;
    println!("{}", answer.status());
    drop((answer, client));

    let ledger = agent.shutdown(Duration::from_secs(5)).await;
    assert!(ledger.is_settled(), "the agent holds nothing");
    let ledger = server.shutdown(Duration::from_secs(5)).await;
    assert!(ledger.is_settled(), "the server holds nothing");
    Ok(())
}
