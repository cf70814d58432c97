//! Clients of the admin proxy that leave, and targets that do, where nobody reads what they sent or
//! bytes are in flight to them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockFilter, SockRef, Socket, Type};

use crate::http::{connect, head, upgrade};
use crate::process::{Process, eventually};
use crate::target::serve_each;
use crate::tunnel::{Tunnel, agent_arguments, folder, owned, path, server_arguments};

/// Clients of each kind, so many that a leak stands out from the connections of the test itself.
const MANY: usize = 8;

/// A target that takes nothing for so long is one that takes nothing.
const STUCK: Duration = Duration::from_millis(200);

/// The length of a body that is never sent whole.
const ENDLESS: usize = 1 << 40;

/// Within which a client is missed that has reset its connection: short of the time that a dial has.
const SOON: Duration = Duration::from_secs(10);

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// Connections through a tunnel of their own.
struct Kind {
    name: &'static str,
    tunnel: Tunnel,
    files: usize,
    clients: Vec<TcpStream>,
}

impl Kind {
    /// Opens connections, each with `open`.
    fn start(
        name: &'static str,
        server: &[&str],
        target: &str,
        open: fn(&str, &str) -> TcpStream,
    ) -> Self {
        let tunnel = Tunnel::start(server, &["--allow", "127.0.0.1:*"]);
        let (admin, path) = (tunnel.admin(), format!("/client/edge%207/http/{target}/"));
        let files = tunnel.server.open_files();
        let clients = thread::scope(|scope| {
            let open = || scope.spawn(|| open(&admin, &path));
            let clients: Vec<_> = (0..MANY).map(|_| open()).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let kind = Self { name, tunnel, files, clients };
        eventually(name, || (kind.live() == MANY as u64).then_some(()));
        kind
    }

    fn live(&self) -> u64 {
        self.tunnel.clients()["server"]["connections"]["live"].as_u64().unwrap()
    }

    fn reset_all(&mut self) {
        self.clients.drain(..).for_each(reset);
    }

    fn leaves_no_target(&self) {
        eventually(self.name, || (self.live() == 0).then_some(()));
    }

    /// Neither a connection through the tunnel is left, nor one of a client.
    fn leaves_nothing(self) {
        self.leaves_no_target();
        let few = self.files + MANY / 2;
        eventually(self.name, || (self.tunnel.server.open_files() < few).then_some(()));
        self.tunnel.stop();
    }
}

fn reset(socket: TcpStream) {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
}

/// The machine of this socket seems to be gone: nothing reaches it any more.
fn vanish(socket: &TcpStream) {
    const RETURN: u16 = 6;
    SockRef::from(socket).attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)]).unwrap();
}

/// Starts a service that answers after a request's head, and reads nothing more.
fn start_stuck(says: &'static str) -> String {
    serve_each(|mut socket| {
        head(&mut socket);
        socket.write_all(says.as_bytes()).ok();
        loop {
            thread::park();
        }
    })
}

/// A service whose queue is full, so that dials of it hang.
struct Hanging {
    _listener: Socket,
    _queued: Vec<TcpStream>,
    address: String,
}

impl Hanging {
    fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let dial = || TcpStream::connect_timeout(&address, STUCK).ok();
        let queued = std::iter::from_fn(dial).collect();
        Self { _listener: listener, _queued: queued, address: address.to_string() }
    }
}

/// Sends a request, as given.
fn ask(admin: &str, request: &str) -> TcpStream {
    let mut socket = connect(admin);
    socket.write_all(request.as_bytes()).unwrap();
    socket
}

fn get(admin: &str, path: &str) -> TcpStream {
    ask(admin, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// Sends a second request behind one that waits for its answer: nobody reads it.
fn get_more(mut socket: &TcpStream) {
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
}

fn put_head(path: &str, length: usize) -> String {
    format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
}

fn put(admin: &str, path: &str, length: usize) -> TcpStream {
    ask(admin, &put_head(path, length))
}

/// Sends for as long as it is taken.
fn fill(mut socket: &TcpStream) {
    socket.set_write_timeout(Some(STUCK)).unwrap();
    while socket.write(&[7; 1 << 16]).is_ok() {}
}

fn endless_put(admin: &str, path: &str) -> TcpStream {
    let socket = put(admin, path, ENDLESS);
    fill(&socket);
    socket
}

fn upgraded(admin: &str, path: &str) -> TcpStream {
    let (socket, answer) = upgrade(admin, path);
    assert_eq!(answer.status, 101, "{answer:?}");
    socket
}

fn fill_up(admin: &str, path: &str) -> TcpStream {
    let socket = upgraded(admin, path);
    fill(&socket);
    socket
}

/// All at once: each takes a while.
#[test]
fn clients_that_reset_are_missed_whatever_is_unread() {
    let (stuck, switched, hanging) = (start_stuck(""), start_stuck(SWITCH), Hanging::start());
    let mut kinds = [
        Kind::start("a dial, and a body", &[], &hanging.address, |admin, path| {
            let mut socket = put(admin, path, 20_000);
            socket.write_all(&[7; 20_000]).unwrap();
            socket
        }),
        Kind::start("a body that nobody takes", &[], &stuck, endless_put),
        Kind::start("a second request", &[], &stuck, get),
        Kind::start("the end of the client", &[], &stuck, |admin, path| {
            let socket = get(admin, path);
            socket.shutdown(Shutdown::Write).unwrap();
            socket
        }),
        Kind::start("an upgraded connection whose target takes nothing", &[], &switched, fill_up),
    ];
    kinds[2].clients.iter().for_each(get_more);
    thread::sleep(STUCK);
    let start = Instant::now();
    kinds.iter_mut().for_each(Kind::reset_all);
    let mut kinds = kinds.into_iter();
    kinds.next().unwrap().leaves_nothing();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    kinds.for_each(Kind::leaves_nothing);
}

#[test]
fn an_upgraded_target_that_resets_is_missed_though_the_client_takes_nothing() {
    let (sender, filled) = mpsc::channel();
    let target = serve_each(move |mut socket| {
        head(&mut socket);
        socket.write_all(SWITCH.as_bytes()).unwrap();
        fill(&socket);
        sender.send(socket).unwrap();
    });
    let mut kind = Kind::start("an upgraded connection", &[], &target, upgraded);
    filled.iter().take(MANY).for_each(reset);
    kind.leaves_no_target();
    // A client may read the bytes that were written to it for a while.
    kind.clients.clear();
    kind.leaves_nothing();
}

/// It has no reset.
#[test]
fn a_client_of_a_unix_socket_that_closes_it_is_missed_whatever_is_unread() {
    let folder = folder();
    let admin = path(&folder, "admin");
    let more = owned(&["--admin", &format!("unix:{admin}")]);
    let server = Process::ready(&[server_arguments(&folder), more].concat());
    let more = owned(&["--allow", "127.0.0.1:*"]);
    let agent = Process::ready(&[agent_arguments(&folder, &server), more].concat());
    let live = || {
        let mut socket = UnixStream::connect(&admin).unwrap();
        socket.write_all(b"GET /clients HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let clients: serde_json::Value = serde_json::from_str(body).unwrap();
        clients["server"]["connections"]["live"].as_u64().unwrap()
    };
    let path = format!("/client/edge%207/http/{}/", start_stuck(""));
    let mut client = UnixStream::connect(&admin).unwrap();
    client.write_all(put_head(&path, ENDLESS).as_bytes()).unwrap();
    client.set_write_timeout(Some(STUCK)).unwrap();
    while client.write(&[7; 1 << 16]).is_ok() {}
    assert_eq!(live(), 1);
    drop(client);
    eventually("its end", || (live() == 0).then_some(()));
    assert_eq!((agent.stop().code, server.stop().code), (0, 0));
}

/// Starts a service that answers after a request's head, and sends a word more on request.
fn start_late(says: &'static str) -> (mpsc::Sender<()>, String) {
    let (sender, told) = mpsc::channel();
    let told = Arc::new(Mutex::new(told));
    let address = serve_each(move |mut socket| {
        head(&mut socket);
        socket.write_all(says.as_bytes()).unwrap();
        told.lock().unwrap().recv().unwrap();
        socket.write_all(b"more").unwrap();
        std::io::copy(&mut socket, &mut std::io::sink()).ok();
    });
    (sender, address)
}

/// All at once: each takes its time.
#[test]
fn machines_that_vanish_are_missed() {
    let options = ["--keepalive", "9s"];
    let stuck = start_stuck("");
    let (more_of_answer, answers) = start_late("HTTP/1.1 200 OK\r\n\r\n");
    let (more, switches) = start_late(SWITCH);
    let kinds = [
        Kind::start("unread bytes of a machine that vanished", &options, &stuck, get),
        Kind::start("an answer to a machine that vanished", &options, &answers, |admin, path| {
            let mut socket = get(admin, path);
            head(&mut socket);
            socket
        }),
        Kind::start("an upgraded machine that vanished", &options, &switches, upgraded),
    ];
    kinds[0].clients.iter().for_each(get_more);
    thread::sleep(STUCK);
    kinds.iter().flat_map(|kind| &kind.clients).for_each(vanish);
    for _ in 0..MANY {
        more_of_answer.send(()).unwrap();
        more.send(()).unwrap();
    }
    kinds.into_iter().for_each(Kind::leaves_nothing);
}
