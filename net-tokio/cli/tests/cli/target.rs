//! Services behind the agent. They end with the process of the tests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{CertifiedKey, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::head;

/// Starts a service that gives each connection to `serve`, on a thread of its own.
pub(crate) fn serve_each<F: Fn(TcpStream) + Clone + Send + 'static>(serve: F) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(socket));
        }
    });
    address
}

/// Starts an HTTP service that answers each request with that request, and upgrades to an echo.
pub(crate) fn start() -> String {
    serve_each(serve)
}

fn serve(mut socket: TcpStream) {
    let request = head(&mut socket);
    let lower = request.to_lowercase();
    if lower.contains("upgrade: echo") {
        let answer = "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        socket.write_all(answer.as_bytes()).unwrap();
        echo(socket);
        return;
    }
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    socket.read_exact(&mut body).unwrap();
    let text = format!("{request}{}", String::from_utf8_lossy(&body));
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-hop: 1\r\nconnection: x-hop, close\r\n\r\n{text}",
        text.len()
    );
    socket.write_all(answer.as_bytes()).ok();
}

/// Starts a service that sends back what it gets, to the end of each direction.
pub(crate) fn start_echo() -> String {
    serve_each(echo)
}

fn echo(mut socket: TcpStream) {
    let mut writer = socket.try_clone().unwrap();
    // The client may go away at any time.
    std::io::copy(&mut socket, &mut writer).ok();
    writer.shutdown(std::net::Shutdown::Write).ok();
}

/// Starts a service that accepts, reads, and never answers.
pub(crate) fn start_silent() -> String {
    serve_each(|mut socket| {
        std::io::copy(&mut socket, &mut std::io::sink()).ok();
    })
}

/// Starts an HTTP service whose answers have no end.
pub(crate) fn start_endless() -> String {
    serve_each(|mut socket| {
        head(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok();
        while socket.write_all(&[7; 1 << 16]).is_ok() {}
    })
}

/// Starts an HTTPS service that answers each request with a greeting.
pub(crate) fn start_tls(certificate: &CertifiedKey<KeyPair>) -> String {
    let key = certificate.signing_key.serialize_der();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key.try_into().unwrap())
        .unwrap();
    let config = Arc::new(config);
    serve_each(move |socket| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        let asked = stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0);
        if !asked {
            // The client does not trust the certificate.
            return;
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nsecure\n";
        stream.write_all(answer).ok();
        stream.conn.send_close_notify();
        stream.flush().ok();
    })
}
