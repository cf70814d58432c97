//! A program around `watertight` under the faults of the simulation: a key-value store behind a NAT, and
//! a console that reaches it through a tunnel.
//!
//! `cargo run --release -p watertight-sim --example embedder -- 1000` runs it under the faults of a
//! thousand seeds; `-- 1000 hasty` runs a console that does not try again, which is soon found out.

use std::collections::BTreeMap;
use std::future::Future;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use watertight::{
    Agent, AuthRequest, Incoming, ReconnectConfig, Refusal, Server, SessionConfig, TunnelStream,
};
use watertight_sim::embed::{Program, Result, SimulatedHost};
use watertight_sim::{Schedule, Trace, World};

const PORT: u16 = 443;
const STORE: &str = "store";
const CONSOLE: &str = "console";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seeds = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(300);
    let retries = arguments.next().as_deref() != Some("hasty");
    match program(retries).explore(0..seeds) {
        Ok(count) => {
            println!("{count} seeds, nothing wrong");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}\nIts trace ends so:");
            let trace = Trace::on();
            let schedule = Schedule::generate(failure.seed, World::Turmoil);
            // The same again, with its trace.
            drop(program(retries).run(&schedule, &trace));
            let traces = trace.take();
            traces.iter().skip(traces.len().saturating_sub(20)).for_each(|line| println!("{line}"));
            ExitCode::FAILURE
        }
    }
}

/// The two hosts. Their software is what would run in production, with sockets of the simulation.
fn program(retries: bool) -> Program {
    Program::new()
        .client(CONSOLE, move |host| console(host, retries))
        .service(STORE, store)
        .patience(Duration::from_secs(20))
}

/// Short times, so that a run is short. A program's own configuration does as well.
fn session() -> SessionConfig {
    let mut config = SessionConfig::default();
    config.timing.ping_interval = Duration::from_millis(300);
    config.timing.silence = Duration::from_secs(1);
    config.timing.stall = Duration::from_secs(1);
    config.timing.dial = Duration::from_millis(500);
    config
}

/// Keeps values in memory, and an agent through which they are reached.
async fn store(host: SimulatedHost) -> Result {
    let values = Arc::new(Mutex::new(BTreeMap::new()));
    // A store that starts again is another one: it has forgotten everything.
    let life = host.seed();
    let reaching = host.clone();
    let agent = Agent::builder("tcp://console:443".parse()?, STORE)
        .token("secret")
        .unmasked()
        .seed(host.seed())
        .session(session())
        // The default may wait for 30 s, and the console would not see it come back in time.
        .reconnect(ReconnectConfig { max: Duration::from_secs(2), ..ReconnectConfig::default() })
        .connect_timeout(Duration::from_secs(1))
        .connect_with(move || {
            let host = reaching.clone();
            async move { host.connect(CONSOLE, PORT).await }
        })
        .dial_handler(move |incoming| answer(Arc::clone(&values), life, incoming))
        .start();
    host.stopped().await;
    let books = agent.shutdown(Duration::from_secs(1)).await;
    if books.is_settled() { Ok(()) } else { Err(format!("the agent's books: {books:?}").into()) }
}

/// Answers one request: the number to keep, or 0 to ask for it. The answer is the store's life and the
/// number that it keeps.
async fn answer(values: Arc<Mutex<BTreeMap<String, u64>>>, life: u64, incoming: Incoming) {
    let key = incoming.target().to_string();
    let Ok(mut stream) = incoming.accept() else { return };
    let Ok(number) = stream.read_u64().await else { return };
    let kept = {
        let mut values = values.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = values.entry(key).or_default();
        *kept = number.max(*kept);
        *kept
    };
    // The caller may have left.
    stream.write_u64(life).await.ok();
    stream.write_u64(kept).await.ok();
    stream.shutdown().await.ok();
}

/// Serves the tunnel, and counts in the store for as long as anything may break; then everything has
/// to work.
async fn console(host: SimulatedHost, retries: bool) -> Result {
    let server = Server::builder(authenticate)
        .unmasked()
        .session(session())
        .handshake_timeout(Duration::from_secs(1))
        .build();
    let listener = host.listen(PORT).await?;
    let accepting = server.clone();
    let accept = async move {
        loop {
            accepting.serve_io(listener.accept().await?, None);
        }
    };
    let counted = tokio::select! {
        counted = count(&host, &server, retries) => counted,
        failed = accept => failed,
    };
    let books = server.shutdown(Duration::from_secs(1)).await;
    if !books.is_settled() {
        return Err(format!("the server's books: {books:?}").into());
    }
    counted
}

fn authenticate(
    request: AuthRequest,
) -> impl Future<Output = std::result::Result<String, Refusal>> {
    let known = request.token_is("secret");
    async move { if known { Ok(STORE.to_string()) } else { Err(Refusal::unauthorized("wrong token")) } }
}

/// Writes one number after the other. An answer of the store must not be older than a value that the same
/// store has confirmed.
async fn count(host: &SimulatedHost, server: &Server, retries: bool) -> Result {
    let mut confirmed: Option<(u64, u64)> = None;
    for number in 1.. {
        let done = host.is_healed();
        match timeout(Duration::from_secs(2), put(server, number)).await {
            Ok(Ok((life, kept))) => {
                host.note(|| format!("the store keeps {kept}"));
                let lost = confirmed.is_some_and(|(same, before)| same == life && before > kept);
                if lost {
                    return Err(format!("the store keeps {kept}, and had more before").into());
                }
                confirmed = Some((life, kept));
                if done {
                    return Ok(());
                }
            }
            Ok(Err(error)) if !retries => return Err(error),
            Ok(Err(error)) => host.note(|| format!("not written: {error}")),
            Err(_) => host.note(|| "not written in time".to_string()),
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn put(server: &Server, number: u64) -> Result<(u64, u64)> {
    let mut stream: TunnelStream = server.dial(STORE, "counter").await?;
    stream.write_u64(number).await?;
    stream.shutdown().await?;
    Ok((stream.read_u64().await?, stream.read_u64().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_reached_whatever_breaks() {
        let result = program(true).explore(0..150);
        assert!(result.is_ok(), "{}", result.unwrap_err());
    }

    #[test]
    fn a_console_that_does_not_try_again_is_found_out() {
        let failure = program(false).explore(0..150).unwrap_err();
        assert!(failure.violation.what.starts_with("console: "), "{failure}");
    }

    #[test]
    fn a_run_can_be_repeated() {
        let told = |seed| {
            let trace = Trace::on();
            let schedule = Schedule::generate(seed, World::Turmoil);
            drop(program(true).run(&schedule, &trace));
            trace.take()
        };
        let quiet = (0..40).filter(|seed| {
            let schedule = Schedule::generate(*seed, World::Turmoil);
            schedule.steps.iter().all(|step| !matches!(step.action.name(), "crash" | "bounce"))
        });
        for seed in quiet {
            assert!(told(seed) == told(seed), "seed {seed}");
        }
    }
}
