//! One end asks the other to dial, and writes the address in every form that some parser reads
//! another spelling. Only allowed targets are reached.

use std::os::unix::fs::symlink;
use std::time::Duration;

use tokio::net::TcpListener;
use watertight::{Agent, Refusal, Server};

use crate::canary::{Canary, UnixCanary};
use crate::processes::{
    Answer, KEY, PATIENCE, TOKEN, Tunnel, Watertight, eventually, get, in_time, write_private,
};

/// Agents with one policy. One is dialled through the proxy of the admin server, the other one by a
/// server that speaks to it directly.
struct World {
    tunnel: Tunnel,
    server: Server,
    agent: Watertight,
}

impl World {
    async fn start(allow: &[&str]) -> Self {
        let tunnel = Tunnel::by("tcp").allow_only(allow).start().await;
        let server = Server::builder(|request| async move {
            request.client_key.ok_or_else(|| Refusal::unauthorized("no client key"))
        });
        let server = server.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        server.listen(listener, None);
        let args = ["agent", "--connect", &endpoint, "--key", KEY, "--allow"];
        let agent = Watertight::start(args.iter().chain(allow)).await;
        eventually(PATIENCE, "a session", async || {
            server.client(KEY).map(drop).ok_or_else(|| "there is none".to_string())
        })
        .await;
        Self { tunnel, server, agent }
    }

    /// What becomes of a dial with `target` on the wire.
    async fn dial(&self, target: &str) -> String {
        match in_time("an answer to a dial", self.server.dial(KEY, target)).await {
            Ok(_) => "dialled".to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// What becomes of a request to `host` through the proxy: each byte of it arrives.
    async fn request(&self, host: &str) -> Answer {
        let host: String = host.bytes().map(|byte| format!("%{byte:02x}")).collect();
        get(self.tunnel.server.admin(), &format!("/client/{KEY}/http/{host}/")).await
    }

    /// Tries each of the `spellings`, in which `PORT` stands for that of the canary, by both routes.
    /// Demands what is expected of it: a status of the proxy and words of the agent.
    async fn expect(&self, canary: &Canary, spellings: &[(&str, u16, &str)]) {
        let mut wrong = Vec::new();
        for (spelling, status, words) in spellings {
            let spelling = spelling.replace("PORT", &canary.port().to_string());
            let dialled = self.dial(&format!("tcp/{spelling}")).await;
            let answer = self.request(&spelling).await;
            if !dialled.contains(words) || answer.status != *status {
                wrong.push(format!("{spelling:?}: {dialled}; {} {}", answer.status, answer.body));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    async fn end(self) {
        self.agent.terminate().await.is_settled();
        assert!(in_time("a shutdown", self.server.shutdown(Duration::ZERO)).await.is_settled());
        self.tunnel.end().await;
    }
}

/// The policy refuses.
const REFUSED: &str = "is not allowed here";

/// It is no target at all.
const NO_TARGET: &str = "has no HOST:PORT that can be dialled";

/// It is a path that is relative or leads back.
const NO_PATH: &str = "is not an absolute path without ..";

/// Nothing is known by that name.
const NO_PROTO: &str = "only tcp and unix";

/// It has a character that no target has.
const NO_FORM: &str = "is not of the form tcp/HOST:PORT";

#[tokio::test]
async fn no_spelling_of_an_address_gets_past_a_policy_of_others() {
    let canary = Canary::start().await;
    let allow = ["127.0.0.2:*", "10.0.0.0/8:*", "[fd00::/8]:*", "127.0.0.1:1"];
    let world = World::start(&allow).await;
    world
        .expect(
            &canary,
            &[
                ("127.0.0.1:PORT", 502, REFUSED),
                ("127.0.0.3:PORT", 502, REFUSED),
                ("0.0.0.0:PORT", 502, REFUSED),
                ("[::]:PORT", 502, REFUSED),
                ("[::1]:PORT", 502, REFUSED),
                ("[0:0:0:0:0:0:0:1]:PORT", 502, REFUSED),
                ("[0000:0000::0001]:PORT", 502, REFUSED),
                // IPv4 in IPv6: mapped, compatible, translated, through NAT64 and 6to4.
                ("[::ffff:127.0.0.1]:PORT", 502, REFUSED),
                ("[::ffff:7f00:1]:PORT", 502, REFUSED),
                ("[::FFFF:7F00:0001]:PORT", 502, REFUSED),
                ("[0:0:0:0:0:ffff:127.0.0.1]:PORT", 502, REFUSED),
                ("[::ffff:0.0.0.0]:PORT", 502, REFUSED),
                ("[::127.0.0.1]:PORT", 502, REFUSED),
                ("[::7f00:1]:PORT", 502, REFUSED),
                ("[::ffff:0:127.0.0.1]:PORT", 502, REFUSED),
                ("[64:ff9b::7f00:1]:PORT", 502, REFUSED),
                ("[64:ff9b::127.0.0.1]:PORT", 502, REFUSED),
                ("[64:ff9b:1::7f00:1]:PORT", 502, REFUSED),
                ("[2002:7f00:1::]:PORT", 502, REFUSED),
                ("[2001:0:7f00:1::]:PORT", 502, REFUSED),
                // Names of it.
                ("localhost:PORT", 502, REFUSED),
                ("LOCALHOST:PORT", 502, REFUSED),
                ("localhost.:PORT", 502, REFUSED),
                // Numbers as `inet_aton` reads them.
                ("2130706433:PORT", 502, NO_TARGET),
                ("0x7f000001:PORT", 502, NO_TARGET),
                ("0X7F.0.0.1:PORT", 502, NO_TARGET),
                ("0x7f.1:PORT", 502, NO_TARGET),
                ("017700000001:PORT", 502, NO_TARGET),
                ("0177.0.0.1:PORT", 502, NO_TARGET),
                ("127.1:PORT", 502, NO_TARGET),
                ("127.0.1:PORT", 502, NO_TARGET),
                ("127.0.0.01:PORT", 502, NO_TARGET),
                ("127.000.000.001:PORT", 502, NO_TARGET),
                ("127.0.0.257:PORT", 502, NO_TARGET),
                ("127.0.0.1.:PORT", 502, NO_TARGET),
                ("0:PORT", 502, NO_TARGET),
                // In octal numbers it would be 8.0.0.1.
                ("010.0.0.1:PORT", 502, NO_TARGET),
                ("10.0.0.1.:PORT", 502, NO_TARGET),
                // Brackets, zones and what else stands around an address.
                ("[127.0.0.1]:PORT", 502, NO_TARGET),
                ("::1:PORT", 400, NO_TARGET),
                ("[::1%lo]:PORT", 502, NO_TARGET),
                ("[::1%25lo]:PORT", 502, NO_TARGET),
                ("[fe80::1%1]:PORT", 502, NO_TARGET),
                ("[::1]x:PORT", 400, NO_TARGET),
                ("[[::1]]:PORT", 400, NO_TARGET),
                ("[]:PORT", 502, NO_TARGET),
                (":PORT", 400, NO_TARGET),
                ("10.0.0.1@127.0.0.1:PORT", 400, NO_TARGET),
                ("127.0.0.1:PORT@10.0.0.1", 400, NO_TARGET),
                ("10.0.0.1#@127.0.0.1:PORT", 400, NO_TARGET),
                ("10.0.0.1:1/127.0.0.1:PORT", 400, NO_TARGET),
                ("10.0.0.1\\@127.0.0.1:PORT", 400, NO_TARGET),
                ("127.0.0.1%2f:PORT", 400, NO_TARGET),
                ("127%2e0%2e0%2e1:PORT", 400, NO_TARGET),
                ("10.0.0.1,127.0.0.1:PORT", 502, NO_TARGET),
                (" 127.0.0.1:PORT", 400, NO_TARGET),
                ("127.0.0.1 :PORT", 400, NO_TARGET),
                ("127.0.0.1\0.10.0.0.1:PORT", 400, NO_FORM),
                ("127.0.0.1\r\nHost: x:PORT", 400, NO_FORM),
                ("127.0.0.1\t:PORT", 400, NO_FORM),
                // Digits and dots that only some normalise.
                ("１２７.0.0.1:PORT", 400, NO_TARGET),
                ("127。0。0。1:PORT", 400, NO_TARGET),
                ("①②⑦.0.0.1:PORT", 400, NO_TARGET),
                ("ｌocalhost:PORT", 400, NO_TARGET),
                ("127.0.0.1\u{ad}:PORT", 400, NO_TARGET),
            ],
        )
        .await;
    assert_eq!(canary.connections().await, 0);
    world.end().await;
}

#[tokio::test]
async fn no_name_that_looks_like_an_allowed_one_gets_past_a_policy_of_names() {
    let canary = Canary::start().await;
    let world = World::start(&["db.internal:*", "*.example.com:*", "localhost:1"]).await;
    world
        .expect(
            &canary,
            &[
                ("localhost:PORT", 502, REFUSED),
                ("127.0.0.1:PORT", 502, REFUSED),
                ("xdb.internal:PORT", 502, REFUSED),
                ("db.internal.localhost:PORT", 502, REFUSED),
                ("db-internal:PORT", 502, REFUSED),
                ("db:PORT", 502, REFUSED),
                ("internal:PORT", 502, REFUSED),
                ("example.com:PORT", 502, REFUSED),
                ("badexample.com:PORT", 502, REFUSED),
                ("a.example.com.localhost:PORT", 502, REFUSED),
                ("db.internal..:PORT", 502, NO_TARGET),
                (".example.com:PORT", 502, NO_TARGET),
                ("a..example.com:PORT", 502, NO_TARGET),
                ("*.example.com:PORT", 502, NO_TARGET),
                ("localhost/.example.com:PORT", 400, NO_TARGET),
                ("localhost#.example.com:PORT", 400, NO_TARGET),
                ("localhost?.example.com:PORT", 400, NO_TARGET),
                ("localhost:PORT/.example.com:1", 400, NO_TARGET),
                ("db.internal@localhost:PORT", 400, NO_TARGET),
                ("localhost\0.example.com:PORT", 400, NO_FORM),
                ("localhost .example.com:PORT", 400, NO_TARGET),
                ("localhost。example.com:PORT", 400, NO_TARGET),
                // Below a domain there are names, and no addresses.
                ("127.0.0.1.example.com.1:PORT", 502, NO_TARGET),
            ],
        )
        .await;
    assert_eq!(canary.connections().await, 0);
    world.end().await;
}

#[tokio::test]
async fn another_spelling_of_an_allowed_target_is_that_target_and_no_other_port() {
    let canary = Canary::start().await;
    let world = World::start(&[&format!("127.0.0.1:{}", canary.port())]).await;
    let same = [
        ("127.0.0.1:PORT", 200, "dialled"),
        ("[::ffff:127.0.0.1]:PORT", 200, "dialled"),
        ("[::ffff:7f00:1]:PORT", 200, "dialled"),
        ("localhost:PORT", 200, "dialled"),
        ("LocalHost.:PORT", 200, "dialled"),
        // The same number.
        ("127.0.0.1:0PORT", 200, "dialled"),
        ("127.0.0.1:+PORT", 200, "dialled"),
    ];
    world.expect(&canary, &same).await;
    let dialled = 2 * same.len();
    assert_eq!(canary.connections().await, dialled, "both ways");
    let beyond = (1 << 16) + u32::from(canary.port());
    let beyond = format!("127.0.0.1:{beyond}");
    world
        .expect(
            &canary,
            &[
                (&beyond, 400, NO_TARGET),
                ("127.0.0.1:-PORT", 400, NO_TARGET),
                ("127.0.0.1:PORT ", 400, NO_TARGET),
                ("127.0.0.1: PORT", 400, NO_TARGET),
                ("127.0.0.1:PORT.0", 400, NO_TARGET),
                ("127.0.0.1:0xPORT", 400, NO_TARGET),
                ("127.0.0.1:PORT:1", 400, NO_TARGET),
                ("127.0.0.1:PORT,1", 400, NO_TARGET),
                ("127.0.0.1:", 400, NO_TARGET),
                ("127.0.0.1:0", 400, NO_TARGET),
                ("127.0.0.1:00", 400, NO_TARGET),
                ("127.0.0.1:*", 400, NO_TARGET),
                ("127.0.0.1:http", 400, NO_TARGET),
                ("127.0.0.1:PORT\0", 400, NO_FORM),
                ("127.0.0.1:1", 502, REFUSED),
                ("0.0.0.0:PORT", 502, REFUSED),
                ("[::]:PORT", 502, REFUSED),
                ("[::1]:PORT", 502, REFUSED),
                ("127.0.0.2:PORT", 502, REFUSED),
            ],
        )
        .await;
    assert_eq!(canary.connections().await, dialled);
    world.end().await;
}

#[tokio::test]
async fn no_path_leads_out_of_an_allowed_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir(at("in")).unwrap();
    let (inside, outside) = (UnixCanary::at(&at("in/a.sock")), UnixCanary::at(&at("secret.sock")));
    symlink("../secret.sock", at("in/link.sock")).unwrap();
    symlink("..", at("in/folder")).unwrap();
    symlink("a.sock", at("in/inner.sock")).unwrap();
    let world = World::start(&[&format!("unix:{root}/in/*")]).await;
    let outward = [
        ("unix/ROOT/secret.sock", REFUSED),
        ("unix/ROOT/in", REFUSED),
        ("unix/ROOT/in/", REFUSED),
        ("unix/ROOT/inside.sock", REFUSED),
        ("unix/ROOT/in/link.sock", REFUSED),
        ("unix/ROOT/in/folder/secret.sock", REFUSED),
        ("unix//proc/self/rootROOT/secret.sock", REFUSED),
        ("unix//proc/self/rootROOT/in/a.sock", REFUSED),
        ("unix/ROOT/in/../secret.sock", NO_PATH),
        ("unix/ROOT/in/./../secret.sock", NO_PATH),
        ("unix/ROOT/in//..//secret.sock", NO_PATH),
        ("unix/ROOT/in/folder/../secret.sock", NO_PATH),
        ("unix/../../../../../../../ROOT/secret.sock", NO_PATH),
        ("unix/secret.sock", NO_PATH),
        ("unix/", NO_PATH),
        ("unix//", NO_PATH),
        ("unix/@secret", NO_PATH),
        ("unix/\0secret", NO_FORM),
        ("unix/ROOT/secret.sock\0/in/a.sock", NO_FORM),
        ("unix/ROOT/in/a.sock\n", NO_FORM),
        ("unix/ROOT/in/..%2fsecret.sock", "connect unix/"),
        ("unix/ROOT/in/%2e%2e/secret.sock", "connect unix/"),
        ("unix/ROOT/in/..\\secret.sock", "connect unix/"),
        ("unix:ROOT/secret.sock", NO_PROTO),
        ("UNIX/ROOT/secret.sock", NO_PROTO),
        ("unixgram/ROOT/secret.sock", NO_PROTO),
        ("file/ROOT/secret.sock", NO_PROTO),
        (" unix/ROOT/secret.sock", NO_PROTO),
        ("/ROOT/secret.sock", NO_PROTO),
        ("tcp/unix/ROOT/secret.sock", NO_TARGET),
        ("tcp/ROOT/secret.sock:1", NO_TARGET),
    ];
    let inward = ["ROOT/in/a.sock", "/ROOT//in/./a.sock", "ROOT/in/inner.sock"];
    for (target, words) in outward {
        let dialled = world.dial(&target.replace("ROOT", &root.to_string())).await;
        assert!(dialled.contains(words), "{target}: {dialled}");
    }
    assert_eq!((inside.connections(), outside.connections()), (0, 0));
    for target in inward {
        let target = format!("unix/{}", target.replace("ROOT", &root.to_string()));
        assert_eq!(world.dial(&target).await, "dialled", "{target}");
    }
    assert_eq!((inside.connections(), outside.connections()), (inward.len(), 0));
    world.end().await;
}

#[tokio::test]
async fn no_spelling_gets_the_credentials_of_a_cloud_from_an_agent_that_may_dial_everything() {
    let world = World::start(&["*:*", "0.0.0.0/0:*", "[::/0]:*", "169.0.0.0/8:*"]).await;
    for host in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.169.254:8080",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[0:0:0:0:0:FFFF:A9FE:A9FE]",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        // What translators make of it.
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[::169.254.169.254]",
        "[fe80::1]",
        "[fe80::a9fe:a9fe]",
        "[febf::1]",
        // Unique local addresses by their numbers.
        "[fd00:ec2::254]",
        "[fd00:0ec2:0:0::254]",
        "[fd00:ec2::23]",
        "[fd20:ce::254]",
        "[fd00:c1::a9fe:a9fe]",
        "[fd00:a9fe:a9fe::1]",
        "[fd00:42::42]",
        "[fd00:100::100:200]",
    ] {
        let port = if host.ends_with(":8080") { "" } else { ":80" };
        let dialled = world.dial(&format!("tcp/{host}{port}")).await;
        let answer = world.request(host).await;
        assert!(dialled.contains("where clouds keep credentials"), "{host}: {dialled}");
        assert_eq!(answer.status, 502, "{answer:?}");
        assert!(answer.body.contains("where clouds keep credentials"), "{host}: {answer:?}");
    }
    for host in
        ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "169.254.169.254."]
    {
        let dialled = world.dial(&format!("tcp/{host}:80")).await;
        assert!(dialled.contains(NO_TARGET), "{host}: {dialled}");
    }
    world.end().await;
}

#[tokio::test]
async fn an_agent_that_may_dial_everything_does_not_reach_the_servers_own_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let admin = format!("unix:{}", at("admin.sock").display());
    let tokens = at("tokens").display().to_string();
    write_private(&at("tokens"), TOKEN);
    let server = Watertight::start([
        "server",
        "--listen=127.0.0.1:0",
        "--admin",
        &admin,
        "--token-file",
        &tokens,
        "--forward",
        &format!("127.0.0.1:0={KEY}=web:80"),
        "--allow-dial",
        "*:*",
        "unix:/*",
    ])
    .await;
    symlink(at("admin.sock"), at("link.sock")).unwrap();
    std::fs::hard_link(at("admin.sock"), at("hard.sock")).unwrap();
    let endpoint = format!("tcp://{}", server.address("agents")).parse().unwrap();
    let agent = Agent::builder(endpoint, KEY).token(TOKEN).start();
    in_time("a session", agent.connected()).await.unwrap();
    let root = folder.path().display();
    let paths = ["admin.sock", "./admin.sock", "link.sock", "hard.sock"];
    let paths = paths.map(|path| format!("unix/{root}/{path}"));
    let ports = [server.address("agents"), server.address("forward")].map(|at| at.port());
    let hosts = ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"];
    let sockets = ports.iter().flat_map(|port| hosts.map(|host| format!("tcp/{host}:{port}")));
    let around = format!("unix//proc/self/root{root}/admin.sock");
    for target in paths.into_iter().chain(sockets).chain([around]) {
        let error = in_time("an answer", agent.dial(&target)).await.unwrap_err().to_string();
        assert!(error.contains("this program listens there itself"), "{target}: {error}");
    }
    assert!(in_time("a shutdown", agent.shutdown(Duration::ZERO)).await.is_settled());
    server.terminate().await.is_settled();
}

#[tokio::test]
async fn a_server_that_may_dial_everything_does_not_reach_the_agents_own_sockets() {
    let server = Server::builder(|request| async move { Ok(request.client_key.unwrap()) }).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    server.listen(listener, None);
    let args = ["agent", "--connect", &url, "--key", KEY, "--allow", "*:*", "--forward"];
    let agent = Watertight::start(args.iter().chain(&["127.0.0.1:0=web:80"])).await;
    let forward = agent.address("forward");
    for host in ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"] {
        let target = format!("tcp/{host}:{}", forward.port());
        let error = in_time("an answer", server.dial(KEY, &target)).await.unwrap_err().to_string();
        assert!(error.contains("this program listens there itself"), "{target}: {error}");
    }
    agent.terminate().await.is_settled();
    assert!(in_time("a shutdown", server.shutdown(Duration::ZERO)).await.is_settled());
}
