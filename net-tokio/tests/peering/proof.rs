//! The mutual proofs of two servers, and what a third party learns. The proof is computed here a
//! second time, from the protocol's document.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use rcgen::generate_simple_self_signed;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use watertight::peering::Peer;
use watertight::tls::{ClientTls, ServerTls};
use watertight::{ProxyPolicy, ReconnectConfig};

use super::trust::reason;
use super::{Host, end_all, peer, reconnect, token};
use support::{in_time, server, until};

/// 16 bytes in base 64.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The connector and the acceptor.
struct Ends<'a> {
    ids: [&'a str; 2],
    tokens: [&'a str; 2],
    nonces: [&'a str; 2],
}

impl Ends<'_> {
    fn proof(&self, of: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&with_lengths(&self.tokens)).unwrap();
        let ([nonce, answer], [id, other]) = (self.nonces, self.ids);
        mac.update(&with_lengths(&["watertight peer 1", of, nonce, answer, id, other]));
        mac.finalize().into_bytes().to_vec()
    }
}

fn with_lengths(parts: &[&str]) -> Vec<u8> {
    let one = |part: &&str| [&(part.len() as u64).to_be_bytes(), part.as_bytes()].concat();
    parts.iter().flat_map(one).collect()
}

/// A server that connects to another one as its peer `id`, and has not proved it yet, with the
/// nonce of the other one.
async fn claim(to: &Host, id: &str) -> (WebSocketStream<TcpStream>, String) {
    let mut request = format!("ws://{}/connect", to.at).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("X-API-Tunnel-ID", id.parse().unwrap());
    headers.insert("Watertight-Peer", NONCE.parse().unwrap());
    headers.insert("Watertight-Protocol", "1".parse().unwrap());
    let socket = TcpStream::connect(to.at).await.unwrap();
    let (socket, answer) = in_time(client_async(request, socket)).await.unwrap();
    let nonce = answer.headers()["watertight-peer"].to_str().unwrap().to_string();
    (socket, nonce)
}

/// A server's answer to a proof.
async fn answer<I: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<I>,
    proof: Vec<u8>,
) -> Message {
    socket.send(Message::binary(proof)).await.unwrap();
    in_time(socket.next()).await.unwrap().unwrap()
}

fn is_refused(answer: &Message) -> bool {
    let Message::Close(Some(frame)) = answer else { return false };
    u16::from(frame.code) == 1008 && frame.reason.contains("is known, or one of the two tokens")
}

#[tokio::test]
async fn s8_both_ends_prove_who_they_are() {
    let b = Host::start("b").await;
    b.server.add_peer(peer("a", ([127, 0, 0, 1], 1).into())).unwrap();
    let (mut socket, nonce) = claim(&b, "a").await;
    assert!(b.peer("a").incoming.is_none(), "nothing is proved yet");
    let tokens = [token("a"), token("b")];
    let ends = Ends { ids: ["a", "b"], tokens: [&tokens[0], &tokens[1]], nonces: [NONCE, &nonce] };
    let answer = answer(&mut socket, ends.proof("connector")).await;
    assert_eq!(answer, Message::binary(ends.proof("acceptor")));
    until(|| b.peer("a").incoming.is_some()).await;
    drop(socket);
    end_all(vec![], vec![b]).await;
}

#[tokio::test]
async fn s8_a_wrong_proof_gets_no_session_and_learns_nothing() {
    let b = Host::start("b").await;
    b.server.add_peer(peer("a", ([127, 0, 0, 1], 1).into())).unwrap();
    let tokens = [token("a"), token("b")];
    let mut earlier = None;
    let wrong: [fn(&mut Ends<'_>); 4] = [
        |ends| ends.tokens[0] = "guessed",
        |ends| ends.tokens[1] = "guessed",
        |ends| ends.ids[0] = "nobody",
        |ends| ends.nonces.reverse(),
    ];
    for make_wrong in wrong {
        let (mut socket, nonce) = claim(&b, "a").await;
        let mut ends =
            Ends { ids: ["a", "b"], tokens: [&tokens[0], &tokens[1]], nonces: [NONCE, &nonce] };
        let right = ends.proof("connector");
        make_wrong(&mut ends);
        assert!(is_refused(&answer(&mut socket, ends.proof("connector")).await));
        // It was right once, and is not the acceptor's.
        for proof in [earlier.replace(right), Some(ends.proof("acceptor"))].into_iter().flatten() {
            let (mut socket, _) = claim(&b, "a").await;
            assert!(is_refused(&answer(&mut socket, proof).await));
        }
    }
    // A remote that is no peer gets the same answer, and the same request for a proof.
    let (mut socket, _) = claim(&b, "stranger").await;
    assert!(is_refused(&answer(&mut socket, vec![0; 32]).await));
    // No proof at all.
    for proof in [vec![], vec![0; 31], vec![0; 64], vec![0; 5000]] {
        let (mut socket, _) = claim(&b, "a").await;
        assert!(is_refused(&answer(&mut socket, proof).await));
    }
    assert!(b.peer("a").incoming.is_none());
    end_all(vec![], vec![b]).await;
}

/// This requires no authentication.
#[tokio::test]
async fn s8_an_end_that_has_proved_nothing_makes_this_one_hold_nothing() {
    let b = Host::start("b").await;
    // Without peers, no proof is requested.
    let mut request = format!("ws://{}/connect", b.at).into_client_request().unwrap();
    request.headers_mut().insert("X-API-Tunnel-ID", "a".parse().unwrap());
    request.headers_mut().insert("Watertight-Peer", NONCE.parse().unwrap());
    let refused = client_async(request, TcpStream::connect(b.at).await.unwrap()).await;
    let Err(Error::Http(answer)) = refused else { panic!("it is asked for a proof") };
    assert_eq!(answer.status().as_u16(), 401);
    assert_eq!(answer.headers()["watertight-peer"], "refused");

    b.server.add_peer(peer("a", ([127, 0, 0, 1], 1).into())).unwrap();
    let (socket, _) = claim(&b, "a").await;
    let mut socket = socket.into_inner();
    // The header of a masked frame of 4 MB, which is refused before its payload.
    let header = [0x82, 0xff, 0, 0, 0, 0, 0, 0x3d, 9, 0, 1, 2, 3, 4];
    socket.write_all(&header).await.unwrap();
    let mut answer = [0; 4];
    in_time(socket.read_exact(&mut answer)).await.unwrap();
    assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x88, 1008));
    drop(socket);
    end_all(vec![], vec![b]).await;
}

/// An impostor at a peer's address: answers a request as `answer` makes it of the request's
/// `Sec-WebSocket-Key`, and then each proof with the same bytes. Returns everything that it read.
async fn somebody(listener: TcpListener, answer: impl Fn(&str) -> String) -> Vec<u8> {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(socket.read_u8().await.unwrap());
    }
    let request = String::from_utf8(read.clone()).unwrap();
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: ")).unwrap();
    socket.write_all(answer(key).as_bytes()).await.unwrap();
    // A frame of a client with 32 bytes, returned as that of a server.
    let mut frame = [0; 38];
    if socket.read_exact(&mut frame).await.is_ok() {
        read.extend_from_slice(&frame);
        let mask = &frame[2..6];
        let proof = frame[6..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let answer: Vec<_> = [0x82, 32].into_iter().chain(proof).collect();
        socket.write_all(&answer).await.unwrap();
    }
    socket.read_to_end(&mut read).await.ok();
    read
}

#[tokio::test]
async fn s8_an_impostor_at_a_peers_address_gets_no_token_and_dials_nothing() {
    let switching = |key: &str, more: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{more}\r\n",
            derive_accept_key(key.as_bytes())
        )
    };
    type Answer<'a> = Box<dyn Fn(&str) -> String + 'a>;
    let answers: [(Answer<'_>, &str); 4] = [
        (Box::new(|key| switching(key, "")), "remotedialer"),
        (Box::new(|_| "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".into()), "remotedialer"),
        (
            Box::new(|key| switching(key, &format!("Watertight-Peer: {NONCE}\r\n"))),
            "its token is another one",
        ),
        (
            Box::new(|_| "HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:9/\r\n\r\n".into()),
            "moved to",
        ),
    ];
    for (answer, why) in answers {
        let a = Host::start("a").await;
        let agent = a.agent("edge").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let hour = Duration::from_secs(3600);
        let once = ReconnectConfig { initial: hour, max: hour, ..ReconnectConfig::default() };
        a.server.add_peer(peer("b", at).reconnect(once)).unwrap();
        let (read, reason) =
            in_time(async { tokio::join!(somebody(listener, answer), reason(&a, "b")) }).await;
        assert!(reason.contains(why), "{reason}");
        let read = String::from_utf8_lossy(&read).into_owned();
        assert!(!read.contains(&token("a")) && !read.contains(&token("b")), "{read}");
        assert!(!read.contains("edge"), "a client is announced: {read}");
        end_all(vec![agent], vec![a]).await;
    }
}

#[tokio::test]
async fn s8_a_token_that_was_sent_is_taken_only_where_nobody_could_read_it() {
    let certified = generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let (chain, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let tls = ServerTls::from_pem(chain.as_bytes(), key.as_bytes(), None).unwrap();
    let b = Host::start("b").await;
    let over_tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secure_at = over_tls.local_addr().unwrap();
    b.server.listen(over_tls, Some(tls));
    b.server.add_peer(peer("a", ([127, 0, 0, 1], 1).into())).unwrap();
    let request = || {
        let mut request = "ws://localhost/connect".into_client_request().unwrap();
        request.headers_mut().insert("X-API-Tunnel-ID", "a".parse().unwrap());
        request.headers_mut().insert("X-API-Tunnel-Token", token("a").parse().unwrap());
        request
    };
    let in_clear = client_async(request(), TcpStream::connect(b.at).await.unwrap()).await;
    let Err(Error::Http(answer)) = in_clear else { panic!("it was let in") };
    let text = String::from_utf8(answer.body().clone().unwrap_or_default()).unwrap();
    assert!(answer.status() == 403 && text.contains("in clear text"), "{text}");

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let (connector, name) =
        (TlsConnector::from(Arc::new(config)), ServerName::try_from("localhost"));
    let socket = TcpStream::connect(secure_at).await.unwrap();
    let socket = connector.connect(name.unwrap(), socket).await.unwrap();
    let (socket, _) = in_time(client_async(request(), socket)).await.unwrap();
    until(|| b.peer("a").incoming.is_some()).await;
    drop(socket);
    end_all(vec![], vec![b]).await;
}

/// A server that knows no proofs, over TLS: it answers the request without a token with 401, and
/// returns the one with a token.
async fn knows_no_proofs(listener: &TcpListener, tls: TlsAcceptor) -> String {
    loop {
        let mut socket = tls.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        if request.to_lowercase().contains("x-api-tunnel-token") {
            return request;
        }
        let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn s8_a_peer_that_knows_no_proofs_is_sent_the_token_over_tls() {
    let certified = generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certified.signing_key.serialize_pem().as_bytes());
    let chain = vec![certified.cert.der().clone()];
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(chain, key.unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let a = Host::start("a").await;
    let trust = ClientTls::from_pem(Some(certified.cert.pem().as_bytes()), None).unwrap();
    let endpoint = format!("wss://localhost:{}", at.port()).parse().unwrap();
    let peer = Peer::new(endpoint, "b", &token("b")).tls(trust).proxy(ProxyPolicy::None);
    a.server.add_peer(peer.address(at.ip())).unwrap();
    let request = in_time(knows_no_proofs(&listener, TlsAcceptor::from(Arc::new(config)))).await;
    assert!(request.contains(&token("a")) && !request.contains(&token("b")), "{request}");
    end_all(vec![], vec![a]).await;
}

#[tokio::test]
async fn s8_a_token_for_two_servers_keeps_a_third_from_taking_an_id() {
    let [a, b, c] = [Host::start("a").await, Host::start("b").await, Host::start("c").await];
    let shared = |host: &Host, token: &str| {
        let endpoint = format!("ws://{}", host.at).parse().unwrap();
        let peer = Peer::new(endpoint, &host.id, token).own_token(token);
        peer.proxy(ProxyPolicy::None).reconnect(reconnect())
    };
    for (one, other, token) in [(&a, &b, "of a and b"), (&b, &c, "of b and c")] {
        one.server.add_peer(shared(other, token)).unwrap();
        other.server.add_peer(shared(one, token)).unwrap();
    }
    a.is_up_with("b").await;
    c.is_up_with("b").await;
    // It knows the token of its own pair, and the one with which `a` proves itself elsewhere.
    let identity = token("a");
    for [ours, theirs] in [["of b and c"; 2], [&identity, "of b and c"]] {
        let (mut socket, nonce) = claim(&b, "a").await;
        let ends = Ends { ids: ["a", "b"], tokens: [ours, theirs], nonces: [NONCE, &nonce] };
        assert!(is_refused(&answer(&mut socket, ends.proof("connector")).await));
    }
    end_all(vec![], vec![a, b, c]).await;
}

#[tokio::test]
async fn s8_an_end_that_proves_nothing_goes_in_time() {
    let b = Host::with("b", server().handshake_timeout(Duration::from_millis(50))).await;
    b.server.add_peer(peer("a", ([127, 0, 0, 1], 1).into())).unwrap();
    let (mut socket, _) = claim(&b, "a").await;
    let Message::Close(Some(frame)) = in_time(socket.next()).await.unwrap().unwrap() else {
        panic!("it goes on")
    };
    assert_eq!(frame.reason, "no proof in time");
    drop(socket);
    end_all(vec![], vec![b]).await;
}
