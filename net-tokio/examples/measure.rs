//! First figures: a tunnel beside two plain TCP forwarding hops, in one run.
//!
//! `cargo run --release -p watertight --example measure -- [ROUNDS]`
//!
//! Every part is a process of its own on loopback: the target, the two hops with 64 KiB buffers,
//! the tunnel's server and agent. The rounds of all paths are interleaved, and medians printed. The
//! real comparison, with peers and many connections, is another tool's work.

#![allow(clippy::indexing_slicing, reason = "its input is its own")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use watertight::{Agent, Listener, Policy, Server};

/// The one of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const BULK: u64 = 1 << 30;
const REQUESTS: usize = 5000;
const IDLE: usize = 1000;
const BUFFER: usize = 64 << 10;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match args.as_slice() {
        ["target"] => runtime.block_on(target()),
        ["hop", to] => runtime.block_on(hop(to.parse()?)),
        ["server", target] => runtime.block_on(server(target)),
        ["agent", url] => runtime.block_on(agent(url)),
        [] => runtime.block_on(measure(5)),
        [rounds] => runtime.block_on(measure(rounds.parse()?)),
        _ => Err("usage: measure [ROUNDS]".into()),
    }
}

// The parts.

/// Tells the parent where this part listens, and ends when the parent does.
fn listening(at: impl std::fmt::Display) {
    println!("{at}");
    std::thread::spawn(|| {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|read| read > 0) {}
        std::process::exit(0);
    });
}

/// A service: the first byte says what it does with the connection.
async fn target() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?);
    loop {
        let (mut socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(async move {
            match socket.read_u8().await {
                Ok(b'd') => pour(&mut socket).await,
                Ok(b'u') => swallow(&mut socket).await,
                Ok(_) => echo(&mut socket).await,
                Err(error) => Err(error),
            }
        });
    }
}

async fn pour(socket: &mut TcpStream) -> std::io::Result<()> {
    let chunk = vec![7; 256 << 10];
    let mut left = BULK;
    while left > 0 {
        let part = usize::try_from(left.min(chunk.len() as u64)).expect("at most a chunk");
        socket.write_all(&chunk[..part]).await?;
        left -= part as u64;
    }
    socket.shutdown().await
}

async fn swallow(socket: &mut TcpStream) -> std::io::Result<()> {
    let mut chunk = vec![0; 256 << 10];
    while socket.read(&mut chunk).await? > 0 {}
    socket.write_all(b"k").await?;
    socket.shutdown().await
}

async fn echo(socket: &mut TcpStream) -> std::io::Result<()> {
    let mut message = [0; 64];
    while socket.read_exact(&mut message).await.is_ok() {
        socket.write_all(&message).await?;
    }
    Ok(())
}

async fn hop(to: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?);
    loop {
        let (mut near, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut far = TcpStream::connect(to).await?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await
        });
    }
}

async fn server(target: &str) -> Result<()> {
    let server = Server::builder(|request| async move {
        request.client_key.ok_or_else(|| watertight::Refusal::unauthorized("no key"))
    })
    .build();
    let agents = TcpListener::bind("127.0.0.1:0").await?;
    let users = TcpListener::bind("127.0.0.1:0").await?;
    let at = format!("{} {}", agents.local_addr()?, users.local_addr()?);
    server.listen(agents, None);
    let _forward = server.forward(Listener::Tcp(users), "edge", &format!("tcp/{target}"));
    listening(at);
    std::future::pending().await
}

async fn agent(url: &str) -> Result<()> {
    let policy: Policy = ["tcp/127.0.0.1:*".parse()?].into_iter().collect();
    let agent = Agent::builder(url.parse()?, "edge").policy(policy).start();
    agent.connected().await?;
    listening("connected");
    std::future::pending().await
}

// The measure.

/// A part that runs as a child process.
struct Part {
    child: Child,
    says: String,
}

impl Part {
    fn start(args: &[&str]) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut says = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut says)?;
        Ok(Self { child, says: says.trim().to_string() })
    }

    /// CPU seconds used so far.
    fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(')').next().ok_or("no stat")?;
        let ticks: Vec<&str> = after_name.split_whitespace().collect();
        Ok((ticks[11].parse::<f64>()? + ticks[12].parse::<f64>()?) / 100.0)
    }

    /// Resident KiB that are the process's own.
    fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("RssAnon")).ok_or("no RssAnon")?;
        Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One way from the client to the target.
struct Route {
    name: &'static str,
    at: SocketAddr,
    near: Option<Part>,
    far: Option<Part>,
}

impl Route {
    fn hops(target: &str) -> Result<Self> {
        let far = Part::start(&["hop", target])?;
        let near = Part::start(&["hop", &far.says])?;
        Ok(Self { name: "hops", at: near.says.parse()?, near: Some(near), far: Some(far) })
    }

    fn tunnel(name: &'static str, scheme: &str, target: &str) -> Result<Self> {
        let near = Part::start(&["server", target])?;
        let (agents, users) = near.says.split_once(' ').ok_or("no addresses")?;
        let at = users.parse()?;
        let far = Part::start(&["agent", &format!("{scheme}://{agents}")])?;
        Ok(Self { name, at, near: Some(near), far: Some(far) })
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        [&self.near, &self.far].into_iter().flatten()
    }

    fn cpu(&self) -> Result<f64> {
        self.parts().map(Part::cpu).sum()
    }

    async fn connect(&self, what: u8) -> Result<TcpStream> {
        let mut socket = TcpStream::connect(self.at).await?;
        socket.set_nodelay(true)?;
        socket.write_all(&[what]).await?;
        Ok(socket)
    }

    async fn down(&self) -> Result<()> {
        let mut socket = self.connect(b'd').await?;
        let mut chunk = vec![0; 256 << 10];
        let mut total = 0;
        loop {
            match socket.read(&mut chunk).await? {
                0 if total == BULK => return Ok(()),
                0 => return Err(format!("{total} bytes of {BULK}").into()),
                read => total += read as u64,
            }
        }
    }

    async fn up(&self) -> Result<()> {
        let mut socket = self.connect(b'u').await?;
        let chunk = vec![7; 256 << 10];
        for _ in 0..BULK / chunk.len() as u64 {
            socket.write_all(&chunk).await?;
        }
        socket.shutdown().await?;
        socket.read_u8().await?;
        Ok(())
    }

    /// Round trips of 64 bytes, in microseconds, sorted.
    async fn requests(&self) -> Result<Vec<f64>> {
        let mut socket = self.connect(b'e').await?;
        let mut message = [1; 64];
        let mut times = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let started = Instant::now();
            socket.write_all(&message).await?;
            socket.read_exact(&mut message).await?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    /// KiB that an idle connection takes in each of the two parts, open and after closing.
    async fn idle(&self) -> Result<[(f64, f64); 2]> {
        let before = self.residents()?;
        let mut sockets = Vec::with_capacity(IDLE);
        for _ in 0..IDLE {
            let mut socket = self.connect(b'e').await?;
            // Each has carried something once.
            socket.write_all(&[1; 64]).await?;
            socket.read_exact(&mut [0; 64]).await?;
            sockets.push(socket);
        }
        let open = self.residents()?;
        drop(sockets);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let closed = self.residents()?;
        let each = |then: f64, now: f64| (now - then) / IDLE as f64;
        Ok([0, 1].map(|part| (each(before[part], open[part]), each(before[part], closed[part]))))
    }

    fn residents(&self) -> Result<Vec<f64>> {
        self.parts().map(Part::resident).collect()
    }
}

#[derive(Default)]
struct Figures(BTreeMap<(usize, &'static str), Vec<f64>>);

impl Figures {
    fn add(&mut self, route: usize, what: &'static str, value: f64) {
        self.0.entry((route, what)).or_default().push(value);
    }

    fn median(&self, route: usize, what: &'static str) -> f64 {
        let mut values = self.0.get(&(route, what)).cloned().unwrap_or_default();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

const ROWS: [(&str, &str); 6] = [
    ("up", "bulk up, GiB/s"),
    ("up cpu", "CPU of both ends, s a GiB, up"),
    ("down", "bulk down, GiB/s"),
    ("down cpu", "CPU of both ends, s a GiB, down"),
    ("p50", "64 B request, p50 µs"),
    ("p99", "64 B request, p99 µs"),
];

async fn measure(rounds: usize) -> Result<()> {
    let target = Part::start(&["target"])?;
    let routes = [
        Route { name: "direct", at: target.says.parse()?, near: None, far: None },
        Route::hops(&target.says)?,
        Route::tunnel("ours/tcp", "tcp", &target.says)?,
        Route::tunnel("ours/ws", "ws", &target.says)?,
    ];
    let mut figures = Figures::default();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for (number, route) in routes.iter().enumerate() {
            one_round(number, route, &mut figures).await?;
        }
    }
    print_figures(&routes, &figures);
    drop(routes);
    println!("\nmemory of an idle connection, KiB near / far (open; after closing)");
    // Fresh processes: what the bulk rounds left in their allocators would hide it.
    let target = &target.says;
    for route in [
        Route::hops(target)?,
        Route::tunnel("ours/tcp", "tcp", target)?,
        Route::tunnel("ours/ws", "ws", target)?,
    ] {
        let [near, far] = route.idle().await?;
        println!("{:>10}  {:.1} / {:.1}; {:.1} / {:.1}", route.name, near.0, far.0, near.1, far.1);
    }
    Ok(())
}

async fn one_round(number: usize, route: &Route, figures: &mut Figures) -> Result<()> {
    let gib = BULK as f64 / f64::from(1 << 30);
    let (started, cpu) = (Instant::now(), route.cpu()?);
    route.up().await?;
    figures.add(number, "up", gib / started.elapsed().as_secs_f64());
    figures.add(number, "up cpu", (route.cpu()? - cpu) / gib);
    let (started, cpu) = (Instant::now(), route.cpu()?);
    route.down().await?;
    figures.add(number, "down", gib / started.elapsed().as_secs_f64());
    figures.add(number, "down cpu", (route.cpu()? - cpu) / gib);
    let times = route.requests().await?;
    figures.add(number, "p50", times[times.len() / 2]);
    figures.add(number, "p99", times[times.len() * 99 / 100]);
    Ok(())
}

fn print_figures(routes: &[Route], figures: &Figures) {
    print!("{:34}", "medians (ratio to the hops)");
    for route in routes {
        print!("{:>20}", route.name);
    }
    println!();
    for (what, title) in ROWS {
        print!("{title:34}");
        for number in 0..routes.len() {
            let (value, hops) = (figures.median(number, what), figures.median(1, what));
            print!("{:>20}", format!("{value:.2} ({:.2})", value / hops));
        }
        println!();
    }
}
