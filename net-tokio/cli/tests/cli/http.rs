//! Just enough HTTP to see every byte of an answer.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::process::DEADLINE;

/// An answer, as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: body.to_string() }
    }
}

pub(crate) fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// Sends a request, as given, and reads to the end of the connection.
pub(crate) fn send(address: &str, request: &str) -> Answer {
    let mut socket = connect(address);
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    Answer::of(&String::from_utf8_lossy(&answer))
}

/// Sends a request and reads the head of the answer, and the body if it has a length.
pub(crate) fn ask(mut socket: TcpStream, request: &str) -> Answer {
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Answer::of(&head(&mut socket));
    let length = answer.head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    socket.read_exact(&mut body).unwrap();
    answer.body = String::from_utf8(body).unwrap();
    answer
}

/// A request that the server ends the connection after.
pub(crate) fn get(address: &str, path: &str) -> Answer {
    send(address, &format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n"))
}

/// A connection that has been upgraded, and the head of the answer.
pub(crate) fn upgrade(address: &str, path: &str) -> (TcpStream, Answer) {
    let mut socket = connect(address);
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let head = head(&mut socket);
    (socket, Answer::of(&head))
}

/// Reads up to the end of a head, and nothing beyond.
pub(crate) fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap() == 1 {
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}
