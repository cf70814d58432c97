//! A stranger in the place of a server.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use watertight::core::wire::HelloReply;

use super::wire;
use crate::schedule::{Opening, Transport};
use crate::situation::Situation;
use crate::turmoil_world::greeting::read_head;
use crate::turmoil_world::socket::Socket;
use crate::turmoil_world::stage::Stage;

/// The first byte of a byte stream's greeting.
const PREFACE: u8 = 0;

/// Answers one who connects, and holds the connection as long as there is somebody in the server's place.
pub(super) async fn answer(stage: Arc<Stage>, mut socket: Socket, healed: CancellationToken) {
    let now = stage.now();
    let Some((opening, left)) = stage.door().impersonation(now) else { return };
    let over = async {
        tokio::select! {
            () = sleep(left) => {}
            () = healed.cancelled() => {}
        }
    };
    tokio::select! {
        biased;
        () = over => {}
        // The remote may have had enough.
        _ = talk(&stage, &mut socket, &opening) => {}
    }
}

async fn talk(stage: &Stage, socket: &mut Socket, opening: &Opening) -> io::Result<()> {
    if *opening == Opening::Silence {
        read_to_end(socket).await?;
        stage.note(Situation::ImpostorSilent);
        return Ok(());
    }
    let (transport, right) = hear(socket).await?;
    let answer = match opening {
        Opening::Silence => Vec::new(),
        Opening::Part { bytes } => wire::part(&right, *bytes).to_vec(),
        Opening::Garbage { bytes } => bytes.clone(),
        Opening::Wrong => wrong(transport),
        Opening::Frames { frames } => [right, wire::broken(frames, transport)].concat(),
    };
    socket.write_all(&answer).await?;
    read_to_end(socket).await?;
    stage.note(match opening {
        Opening::Frames { .. } => Situation::ImpostorFrames,
        _ => Situation::ImpostorWrong,
    });
    Ok(())
}

async fn read_to_end(socket: &mut Socket) -> io::Result<()> {
    let mut heard = [0; 1024];
    while socket.read(&mut heard).await? > 0 {}
    Ok(())
}

/// Hears the greeting of an agent or of a peer: what it speaks, and the right answer.
async fn hear(socket: &mut Socket) -> io::Result<(Transport, Vec<u8>)> {
    if socket.read_u8().await? == PREFACE {
        let reply = HelloReply { version: 1, status: HelloReply::ACCEPTED, text: String::new() };
        // What else it says stands in the buffer of the socket.
        return Ok((Transport::ByteStream, reply.encode().to_vec()));
    }
    let head = read_head(socket).await?;
    let request = String::from_utf8_lossy(&head);
    let key = header(&request, "sec-websocket-key").unwrap_or_default();
    let proof = derive_accept_key(key.as_bytes());
    let extension = header(&request, "watertight-protocol").is_some();
    Ok((Transport::WebSocket, upgrade(&proof, extension)))
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let headers = request.lines().filter_map(|line| line.split_once(": "));
    headers.filter(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

fn upgrade(proof: &str, extension: bool) -> Vec<u8> {
    let protocol = if extension { "Watertight-Protocol: 1\r\n" } else { "" };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {proof}\r\n{protocol}\r\n"
    );
    answer.into_bytes()
}

/// An answer that lets nobody in.
fn wrong(transport: Transport) -> Vec<u8> {
    match transport {
        Transport::WebSocket => upgrade("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", true),
        Transport::ByteStream => {
            let reply = HelloReply { version: 1, status: 403, text: "not you".into() };
            reply.encode().to_vec()
        }
    }
}
