//! Real programs through the tunnel: curl, redis, git, netcat, and a WebSocket.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod processes;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::{LazyLock, mpsc};

use futures_util::{SinkExt, StreamExt};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use processes::{
    Authority, KEY, PATIENCE, Process, Target, Tunnel, eventually, found, in_time, pattern,
    quiet_command, run,
};

const CURL: (&str, &str) = ("curl", "curl");
const GIT: (&str, &str) = ("git", "git");
const NC: (&str, &str) = ("nc", "netcat-openbsd");
const PYTHON: (&str, &str) = ("python3", "python3");
const REDIS: [(&str, &str); 3] = [
    ("redis-server", "redis-server"),
    ("redis-benchmark", "redis-tools"),
    ("redis-cli", "redis-tools"),
];

/// Python's own HTTP server. Its default is a queue of five connections, which 50 clients at once
/// overrun, and the kernel makes further ones wait for a second and more.
const HTTP_SERVER: &str = "import http.server as h
h.ThreadingHTTPServer.request_queue_size = 128
h.test(h.SimpleHTTPRequestHandler, h.ThreadingHTTPServer, port=0, bind='127.0.0.1')";

/// Serves a folder over HTTP.
struct FileServer {
    at: SocketAddr,
    _process: Process,
}

impl FileServer {
    async fn start(folder: &Path) -> Self {
        let mut command = quiet_command("python3");
        let mut process =
            Process::spawn(command.args(["-u", "-c", HTTP_SERVER]).current_dir(folder));
        // "Serving HTTP on 127.0.0.1 port 40123 (http://127.0.0.1:40123/) ..."
        let line = in_time("the HTTP server's port", process.next_line()).await;
        let line = line.unwrap_or_else(|| panic!("no HTTP server: {}", process.errors()));
        let port = line.split(' ').skip_while(|word| *word != "port").nth(1).unwrap();
        let at = format!("127.0.0.1:{port}").parse().unwrap();
        Self { at, _process: process }
    }
}

const BIG: u64 = 1 << 30;

/// A file of [`BIG`] bytes, which takes little space: most of it are holes. The rest makes each
/// part of it different from all others.
fn big_file(path: &Path) {
    const PART: u64 = 256 << 10;
    let mut file = File::create(path).unwrap();
    file.set_len(BIG).unwrap();
    for part in 0..BIG / PART {
        let mark = Sha256::digest(part.to_le_bytes());
        file.seek(SeekFrom::Start(part * PART + part % PART)).unwrap();
        file.write_all(&mark.repeat(16)).unwrap();
    }
}

fn hash(mut input: impl Read) -> String {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    while let read @ 1.. = input.read(&mut chunk).unwrap() {
        hasher.update(&chunk[..read]);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of what is at `url`, as curl gets it.
async fn hash_at(url: &str) -> String {
    let (sender, hashed) = mpsc::channel();
    let read = move |out: ChildStdout| drop(sender.send(hash(out)));
    let curl = ["--silent", "--show-error", "--fail", url];
    let mut process = Process::spawn_with(quiet_command("curl").args(curl), read);
    let status = process.exit(PATIENCE).await;
    assert!(status.success(), "curl {url}: {status}: {}", process.errors());
    hashed.recv().unwrap()
}

/// What both tests of curl serve: the big file, and many small ones of different lengths.
struct Site {
    folder: TempDir,
    server: FileServer,
}

const SMALL: usize = 2000;

/// It is the same in each file that [`big_file`] makes.
static BIG_HASH: LazyLock<String> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big");
    big_file(&path);
    hash(File::open(path).unwrap())
});

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        big_file(&folder.path().join("big"));
        for number in 0..SMALL {
            fs::write(folder.path().join(number.to_string()), small(number)).unwrap();
        }
        let server = FileServer::start(folder.path()).await;
        Self { folder, server }
    }

    /// Demands that everything is there below `url` as it is in the folder.
    async fn is_complete_at(&self, url: &str) {
        assert_eq!(hash_at(&format!("{url}/big")).await, *BIG_HASH);
        let got = self.folder.path().join("got");
        let urls = format!("{url}/[0-{}]", SMALL - 1);
        let output = format!("{}/#1", got.display());
        let curl = ["--silent", "--show-error", "--fail", "--parallel", "--parallel-max", "50"];
        let files = ["--create-dirs", "--output", &output, "--write-out", "%{http_code}\n", &urls];
        let finished = run(quiet_command("curl").args(curl).args(files)).await;
        assert_eq!(finished.out, "200\n".repeat(SMALL));
        for number in 0..SMALL {
            let content = fs::read(got.join(number.to_string())).unwrap();
            assert!(content == small(number), "file {number}: {} bytes", content.len());
        }
    }
}

fn small(number: usize) -> Vec<u8> {
    let mut content = format!("This is number {number}. ").into_bytes();
    content.extend(pattern(number, number * 7 % 9000));
    content
}

#[tokio::test]
async fn curl_through_a_forward() {
    if !found(&[CURL, PYTHON]) {
        return;
    }
    let site = Site::start().await;
    let tunnel = Tunnel::start(&[site.server.at]).await;
    site.is_complete_at(&format!("http://{}", tunnel.forward(site.server.at))).await;
    let (server, _) = tunnel.end().await;
    assert_eq!(server.ledger.added(), 1 + SMALL as u64);
}

#[tokio::test]
async fn curl_through_the_reverse_proxy() {
    if !found(&[CURL, PYTHON]) {
        return;
    }
    let site = Site::start().await;
    let tunnel = Tunnel::start(&[]).await;
    let path = Tunnel::proxied(site.server.at, "");
    site.is_complete_at(&format!("http://{}{path}", tunnel.server.admin())).await;
    let (server, _) = tunnel.end().await;
    assert_eq!(server.ledger.added(), 1 + SMALL as u64);
}

/// A redis server behind the agent, on a Unix socket.
struct Redis {
    port: String,
    tunnel: Tunnel,
    _process: Process,
    _folder: TempDir,
}

impl Redis {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("redis.sock").display().to_string();
        let options = ["--port", "0", "--save", "", "--unixsocket", &socket];
        let mut command = quiet_command("redis-server");
        let process = Process::spawn(command.args(options).current_dir(&folder));
        eventually(PATIENCE, "a socket of redis", async || {
            Path::new(&socket).exists().then_some(()).ok_or_else(|| process.errors())
        })
        .await;
        let target = format!("unix/{socket}");
        let tunnel = Tunnel::by("ws").forward(&target).allow(&format!("unix:{socket}"));
        let tunnel = tunnel.start().await;
        let port = tunnel.server.address("forward").port().to_string();
        Self { port, tunnel, _process: process, _folder: folder }
    }

    async fn cli(&self, command: &[&str]) -> String {
        run(quiet_command("redis-cli").args(["-p", &self.port, "-e"]).args(command)).await.out
    }

    /// Has 50 clients send `requests` of each kind, `at_once` each before it waits for answers.
    async fn benchmark(&self, requests: u32, at_once: &str) {
        let (before, total) = (self.processed().await, requests.to_string());
        let load = ["-p", &self.port, "-t", "set,get", "-n", &total, "-P", at_once, "-r", "1000"];
        let mut command = quiet_command("redis-benchmark");
        let finished = run(command.args(load).args(["-c", "50", "-e", "--csv"])).await;
        for test in ["\"SET\",", "\"GET\","] {
            assert!(finished.out.contains(test), "{finished:?}");
        }
        let processed = self.processed().await - before;
        assert!(processed >= 2 * u64::from(requests), "{processed}");
    }

    /// Commands that have reached the server.
    async fn processed(&self) -> u64 {
        let stats = self.cli(&["INFO", "stats"]).await;
        let mut lines = stats.lines();
        let line = lines.find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap().trim().parse().unwrap()
    }
}

#[tokio::test]
async fn redis_through_a_forward() {
    if !found(&REDIS) {
        return;
    }
    let redis = Redis::start().await;
    redis.benchmark(5_000, "1").await;
    redis.benchmark(50_000, "16").await;
    let value = "v".repeat(100_000);
    assert_eq!(redis.cli(&["SET", "key", &value]).await, "OK\n");
    assert_eq!(redis.cli(&["GET", "key"]).await.trim_end(), value);
    redis.tunnel.end().await;
}

async fn git(folder: &Path, args: &[&str]) -> String {
    let author = ["-c", "user.name=A", "-c", "user.email=a@example.com"];
    run(quiet_command("git").arg("-C").arg(folder).args(author).args(args)).await.out
}

/// A repository with some history in a pack, some not, to be fetched over plain HTTP.
async fn repository(folder: &Path) -> PathBuf {
    let work = folder.join("work");
    fs::create_dir(&work).unwrap();
    git(&work, &["init", "--quiet", "--initial-branch=main"]).await;
    for number in 0..12 {
        let content: Vec<u8> = (0..200).flat_map(|part| small(number * 200 + part)).collect();
        fs::write(work.join(format!("file{}", number % 5)), content).unwrap();
        git(&work, &["add", "."]).await;
        git(&work, &["commit", "--quiet", "--message", &number.to_string()]).await;
        if number == 6 {
            git(&work, &["gc", "--quiet"]).await;
        }
    }
    git(&work, &["update-server-info"]).await;
    work
}

#[tokio::test]
async fn git_clones_through_a_forward() {
    if !found(&[GIT, PYTHON]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let origin = repository(folder.path()).await;
    let server = FileServer::start(folder.path()).await;
    let tunnel = Tunnel::start(&[server.at]).await;
    let url = format!("http://{}/work/.git", tunnel.forward(server.at));
    git(folder.path(), &["clone", "--quiet", &url, "clone"]).await;
    let clone = folder.path().join("clone");
    let head = ["rev-parse", "HEAD"];
    assert_eq!(git(&clone, &head).await, git(&origin, &head).await);
    git(&clone, &["fsck", "--full", "--strict"]).await;
    assert_eq!(git(&clone, &["status", "--porcelain"]).await, "");
    let (server, _) = tunnel.end().await;
    assert!(server.ledger.added() > 10, "{server:?}");
}

#[tokio::test]
async fn netcat_half_closes_and_gets_its_answer() {
    if !found(&[NC]) {
        return;
    }
    let target = Target::count().await;
    let tunnel = Tunnel::start(&[target.at]).await;
    let input = tunnel.file("input");
    fs::write(&input, pattern(0, 3_000_000)).unwrap();
    let port = tunnel.forward(target.at).port().to_string();
    let mut command = quiet_command("nc");
    command.args(["-N", "127.0.0.1", &port]).stdin(File::open(input).unwrap());
    assert_eq!(run(&mut command).await.out, "3000000 bytes\n");
    tunnel.end().await;
}

/// Echoes the messages of WebSockets.
async fn echo_messages(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut socket = accept_async(socket).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
        });
    }
}

#[tokio::test]
async fn a_web_socket_through_the_reverse_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let service = tokio::spawn(echo_messages(listener));
    let tunnel = Tunnel::start(&[]).await;
    let admin = tunnel.server.admin();
    let url = format!("ws://{admin}{}", Tunnel::proxied(at, "/echo?loud=1"));
    let socket = TcpStream::connect(admin).await.unwrap();
    let (mut socket, _) = in_time("the upgrade", client_async(url, socket)).await.unwrap();
    for message in [
        Message::text("hello"),
        Message::binary(pattern(0, 1_000_000)),
        Message::binary(Vec::new()),
        Message::text("goodbye"),
    ] {
        socket.send(message.clone()).await.unwrap();
        let echoed = in_time("an echo", socket.next()).await.unwrap().unwrap();
        assert!(echoed == message, "{} bytes instead of {}", echoed.len(), message.len());
    }
    socket.close(None).await.unwrap();
    let end = in_time("the answer to the goodbye", socket.next()).await;
    assert!(matches!(end, Some(Ok(Message::Close(_)))), "{end:?}");
    drop(socket);
    let (server, _) = tunnel.end().await;
    assert_eq!(server.ledger.added(), 1);
    service.abort();
}

/// Sends some through a tunnel, and ends it.
async fn carries(tunnel: Tunnel, echo: &Target) {
    let mut witness = tunnel.witness(echo.at).await;
    let mut socket = TcpStream::connect(tunnel.forward(echo.at)).await.unwrap();
    let sent = pattern(0, 4 << 20);
    let (mut read, mut write) = socket.split();
    let sending = async {
        tokio::io::AsyncWriteExt::write_all(&mut write, &sent).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut write).await.unwrap();
    };
    let mut got = Vec::new();
    let receiving = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut got);
    let (_, received) = in_time("an echo", async { tokio::join!(sending, receiving) }).await;
    received.unwrap();
    assert!(got == sent, "{} bytes", got.len());
    witness.is_undisturbed().await;
    witness.end().await;
    tunnel.end().await;
}

#[tokio::test]
async fn a_session_over_wss_with_certificates_on_both_ends() {
    let authority = Authority::new();
    let ca = authority.ca();
    let [cert, key] = authority.sign("localhost");
    let [client_cert, client_key] = authority.sign(KEY);
    let echo = Target::echo().await;
    let tunnel = Tunnel::by("wss")
        .forward(echo.at)
        .server(["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca])
        .agent(["--ca", &ca, "--client-cert", &client_cert, "--client-key", &client_key]);
    carries(tunnel.start().await, &echo).await;
}

#[tokio::test]
async fn a_session_over_tls() {
    let authority = Authority::new();
    let [cert, key] = authority.sign("localhost");
    let echo = Target::echo().await;
    let tunnel = Tunnel::by("tls")
        .forward(echo.at)
        .server(["--tls-cert", &cert, "--tls-key", &key])
        .agent(["--ca", &authority.ca()]);
    carries(tunnel.start().await, &echo).await;
}

#[tokio::test]
async fn a_session_over_tcp() {
    let echo = Target::echo().await;
    carries(Tunnel::by("tcp").forward(echo.at).start().await, &echo).await;
}

#[tokio::test]
async fn a_session_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agents.sock");
    let echo = Target::echo().await;
    let tunnel = Tunnel::by("unix").listen(&format!("unix:{}", path.display())).forward(echo.at);
    carries(tunnel.start().await, &echo).await;
    assert!(!path.exists(), "the socket's file is left behind");
}
