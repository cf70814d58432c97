//! A connection in constant use that must not notice the faults around it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{in_time, within};

/// How long one round trip of the witness may take: much longer than any does, much shorter than
/// the deadlines of the traffic beside it.
const ROUND_TRIP: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(5);

/// One connection to a service that echoes, used without interruption. Failures of other
/// connections must not disturb it.
#[derive(Debug)]
pub(crate) struct Witness {
    rounds: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Witness {
    pub(crate) async fn start(at: SocketAddr) -> Self {
        Self::on(TcpStream::connect(at).await.unwrap()).await
    }

    pub(crate) async fn on(socket: TcpStream) -> Self {
        let (sender, rounds) = watch::channel(0);
        let task = tokio::spawn(go_round(socket, sender));
        let mut witness = Self { rounds, task };
        witness.is_undisturbed().await;
        witness
    }

    /// Waits for a round trip that begins after this call.
    pub(crate) async fn is_undisturbed(&mut self) {
        let seen = *self.rounds.borrow();
        // One round may have begun before; the next one has not.
        let rounds = in_time("the witness", self.rounds.wait_for(|rounds| *rounds >= seen + 2));
        if rounds.await.is_err() {
            let ended = (&mut self.task).await;
            panic!("the witness was disturbed: {ended:?}");
        }
    }

    /// Closes the connection, after a last look.
    pub(crate) async fn end(mut self) {
        self.is_undisturbed().await;
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn go_round(mut socket: TcpStream, rounds: watch::Sender<u64>) {
    for round in 1_u64.. {
        within(ROUND_TRIP, "a round trip", async {
            socket.write_u64(round).await.unwrap();
            assert_eq!(socket.read_u64().await.unwrap(), round);
        })
        .await;
        rounds.send_replace(round);
        tokio::time::sleep(PAUSE).await;
    }
}
