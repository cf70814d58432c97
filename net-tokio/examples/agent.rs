//! An agent: keeps a session to the server of the example `server`, and lets it dial one local port.
//!
//! ```sh
//! TOKEN=secret cargo run -p watertight --example agent
//! ```

use std::time::Duration;

use watertight::{Agent, AgentStatus, Policy};

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let policy: Policy = ["tcp/127.0.0.1:8000".parse()?].into_iter().collect();
    let agent = Agent::builder("ws://127.0.0.1:8080/connect".parse()?, "edge-7")
        .token(&std::env::var("TOKEN")?)
        .policy(policy)
        .start();

    let mut status = agent.status();
    loop {
        match &*status.borrow_and_update() {
            AgentStatus::Connected { dialect } => println!("connected ({dialect:?})"),
            AgentStatus::Waiting { retry_in, reason } => {
                println!("{reason}; again in {retry_in:?}")
            }
            _ => {}
        }
        tokio::select! {
            changed = status.changed() => changed?,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    let ledger = agent.shutdown(Duration::from_secs(10)).await;
    assert!(ledger.is_settled(), "the agent holds nothing");
    Ok(())
}
