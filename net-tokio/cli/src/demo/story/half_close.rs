use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::client::within;
use super::super::narrator::{Narrator, millis, size};
use super::super::pattern::Pattern;
use super::super::stage::Stage;
use super::super::wrong::Wrong;

const LENGTH: u64 = 4 << 20;
const PIECE: usize = 64 << 10;
const DEADLINE: Duration = Duration::from_secs(20);

/// A client that says all it has to say, ends its direction, and waits for the answer.
pub(super) async fn show(stage: &Stage, narrator: &mut Narrator) -> Result<(), Wrong> {
    let title =
        format!("a client that sends {}, half-closes, and is answered only then", size(LENGTH));
    let mut step = narrator.begin(&title, LENGTH);
    let mut socket = TcpStream::connect(&stage.digest).await?;
    let mut sent = Sha256::new();
    let mut pattern = Pattern::new(2);
    let took = within(DEADLINE, "the answer", async {
        while pattern.at() < LENGTH {
            let piece = pattern.take(PIECE);
            socket.write_all(&piece).await?;
            sent.update(&piece);
            step.at(pattern.at());
        }
        socket.shutdown().await?;
        let closed = Instant::now();
        let (length, digest) = answer(&mut socket).await?;
        if length != LENGTH || digest != sent.finalize().as_slice() {
            return Err(Wrong::new(format!("what arrived, {length} bytes, is not what was sent")));
        }
        Ok(closed.elapsed())
    })
    .await?;
    let took = millis(took);
    step.end(&[format!("answered {took} after the end-of-file, with the right SHA-256")]);
    Ok(())
}

async fn answer(socket: &mut TcpStream) -> Result<(u64, Vec<u8>), Wrong> {
    let length = socket.read_u64().await?;
    let mut digest = Vec::new();
    socket.read_to_end(&mut digest).await?;
    Ok((length, digest))
}
