//! A web page that has its own name resolve to this machine, or has a browser ask the admin server in
//! another name. It learns nothing of the server, and reaches nothing behind an agent.
//!
//! Names of targets are rebound in `tests/names.rs`, on the system's own resolver.

use crate::canary::Canary;
use crate::processes::{Answer, KEY, Tunnel, exchange};

/// Requests of pages, as their heads; `PATH` stands for what the page wants and `ADMIN` for the address
/// of the admin server.
const OF_PAGES: [(&str, u16); 53] = [
    // The name of the page's own, and names around that of this machine.
    ("GET PATH HTTP/1.1|Host: attacker.example", 403),
    ("GET PATH HTTP/1.0|Host: attacker.example", 403),
    ("POST PATH HTTP/1.1|Host: attacker.example", 403),
    ("DELETE PATH HTTP/1.1|Host: attacker.example", 403),
    ("OPTIONS PATH HTTP/1.1|Host: attacker.example", 403),
    ("GET PATH HTTP/1.1|HOST: attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: attacker.example:80", 403),
    ("GET PATH HTTP/1.1|Host: attacker.example:ADMIN", 403),
    ("GET PATH HTTP/1.1|Host: localhost.attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: 127.0.0.1.attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: attackerlocalhost", 403),
    ("GET PATH HTTP/1.1|Host: localhost@attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: localhost:80@attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: localhost#attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: attacker.example#localhost", 403),
    ("GET PATH HTTP/1.1|Host: attacker.example/localhost", 403),
    ("GET PATH HTTP/1.1|Host: localhost, attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: attacker.example localhost", 403),
    ("GET PATH HTTP/1.1|Host: localhost.", 403),
    ("GET PATH HTTP/1.1|Host: localhost:80:90", 403),
    ("GET PATH HTTP/1.1|Host: http://localhost", 403),
    ("GET PATH HTTP/1.1|Host:", 403),
    // Addresses that only seem to be this machine's, or are not written as browsers do.
    ("GET PATH HTTP/1.1|Host: 0.0.0.0", 403),
    ("GET PATH HTTP/1.1|Host: [::]", 403),
    ("GET PATH HTTP/1.1|Host: [::ffff:10.0.0.1]", 403),
    // It is a name of this machine, but a browser sends no header about the page there.
    ("GET PATH HTTP/1.1|Host: [::ffff:127.0.0.1]", 403),
    ("GET PATH HTTP/1.1|Host: [::ffff:7f00:1]:80", 403),
    ("GET PATH HTTP/1.1|Host: [::1", 403),
    ("GET PATH HTTP/1.1|Host: 127.1", 403),
    ("GET PATH HTTP/1.1|Host: 2130706433", 403),
    ("GET PATH HTTP/1.1|Host: 0x7f.0.0.1", 403),
    ("GET PATH HTTP/1.1|Host: 169.254.169.254", 403),
    // Two names, of which one is right.
    ("GET PATH HTTP/1.1|Host: localhost|Host: attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: attacker.example|Host: localhost", 403),
    ("GET http://attacker.examplePATH HTTP/1.1|Host: localhost", 403),
    ("GET http://localhostPATH HTTP/1.1|Host: attacker.example", 403),
    ("GET http://attacker.examplePATH HTTP/1.1", 403),
    ("CONNECT attacker.example:80 HTTP/1.1|Host: localhost", 403),
    ("GET PATH HTTP/1.1|Host: attacker.example|X-Forwarded-Host: localhost", 403),
    ("GET PATH HTTP/1.1|Host: attacker.example|Forwarded: host=localhost", 403),
    ("GET PATH HTTP/1.1|Host : localhost", 400),
    ("GET PATH HTTP/1.1|Host: localhost| attacker.example", 400),
    // The right name, by a page of another origin.
    ("GET PATH HTTP/1.1|Host: ADMIN|Origin: http://attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Origin: null", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Origin: https://ADMIN.attacker.example", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Origin: ADMIN", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Origin: http://127.0.0.1:1", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Origin:", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Sec-Fetch-Site: cross-site", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Sec-Fetch-Site: same-site|Origin: http://ADMIN", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Sec-Fetch-Site: Same-Origin", 403),
    ("GET PATH HTTP/1.1|Host: ADMIN|Sec-Fetch-Site: none, cross-site", 403),
    (
        "GET PATH HTTP/1.1|Host: ADMIN|Connection: Upgrade|Upgrade: websocket\
         |Origin: http://attacker.example",
        403,
    ),
];

/// Sends a request whose lines stand between bars, and reads to the end of the connection.
async fn ask(tunnel: &Tunnel, request: &str) -> Answer {
    let admin = tunnel.server.admin();
    let request = request.replace("ADMIN", &admin.to_string()).replace('|', "\r\n");
    let request = format!("{request}\r\nConnection: close\r\n\r\n");
    Answer::read(&exchange(admin, request.as_bytes()).await.unwrap())
}

#[tokio::test]
async fn no_request_of_a_page_is_answered_or_passed_on() {
    let canary = Canary::start().await;
    for pages in ["--admin-pages=false", "--admin-pages=true"] {
        let tunnel = Tunnel::by("tcp").server([pages]).start().await;
        let proxied = format!("/client/{KEY}/http/127.0.0.1:{}/", canary.port());
        for path in [&proxied, "/clients", &format!("/clients/{KEY}"), "/metrics", "/"] {
            for (request, status) in OF_PAGES {
                let answer = ask(&tunnel, &request.replace("PATH", path)).await;
                assert_eq!(answer.status, status, "{request} for {path}: {answer:?}");
                assert!(!answer.body.contains(KEY), "{request} for {path}: {answer:?}");
            }
        }
        assert_eq!(tunnel.server.clients().await, [KEY], "nothing was ended");
        tunnel.end().await;
    }
    assert_eq!(canary.connections().await, 0);
}

#[tokio::test]
async fn no_page_is_passed_on_below_client_even_of_the_admin_servers_own_origin() {
    let canary = Canary::start().await;
    let tunnel = Tunnel::by("tcp").start().await;
    let path = format!("/client/{KEY}/http/127.0.0.1:{}/", canary.port());
    for request in [
        "GET PATH HTTP/1.1|Host: ADMIN|Origin: http://ADMIN",
        "GET PATH HTTP/1.1|Host: ADMIN|Sec-Fetch-Site: same-origin",
        "GET PATH HTTP/1.1|Host: ADMIN|Sec-Fetch-Site: none",
        "GET PATH HTTP/1.1|Host: ADMIN|Sec-Fetch-Mode: navigate",
        "GET http://ADMINPATH HTTP/1.1|Host: ADMIN|Sec-Fetch-Site: none",
        // A path that a browser does not take for its own.
        "GET http://localhostPATH HTTP/1.1|Host: localhost|Sec-Fetch-Dest: image",
    ] {
        let answer = ask(&tunnel, &request.replace("PATH", &path)).await;
        assert_eq!(answer.status, 403, "{request}: {answer:?}");
    }
    assert_eq!(canary.connections().await, 0);
    // Programs are no pages, by any name of this machine.
    let hosts = ["ADMIN", "localhost", "LOCALHOST:1", "[::1]:80", "127.9.9.9"];
    for host in hosts {
        let answer = ask(&tunnel, &format!("GET {path} HTTP/1.1|Host: {host}")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "canary"), "{host}");
    }
    assert_eq!(canary.connections().await, hosts.len());
    tunnel.end().await;
}

#[tokio::test]
async fn a_page_behind_an_agent_has_its_own_name_alone() {
    let canary = Canary::start().await;
    let tunnel = Tunnel::by("tcp").server(["--admin-pages"]).start().await;
    let page = format!("{KEY}--127_0_0_1--{}.localhost", canary.port());
    for (request, status) in [
        ("GET / HTTP/1.1|Host: PAGE|Sec-Fetch-Site: cross-site", 403),
        ("GET / HTTP/1.1|Host: PAGE|Sec-Fetch-Site: same-site", 403),
        ("GET / HTTP/1.1|Host: PAGE|Origin: http://attacker.example", 403),
        ("GET / HTTP/1.1|Host: PAGE|Origin: http://ADMIN", 403),
        ("GET / HTTP/1.1|Host: PAGE|Host: ADMIN", 403),
        ("GET / HTTP/1.1|Host: ADMIN|Host: PAGE", 403),
        ("GET http://PAGE/ HTTP/1.1|Host: ADMIN", 403),
        ("GET http://ADMIN/ HTTP/1.1|Host: PAGE", 403),
        ("GET / HTTP/1.1|Host: PAGE.attacker.example", 403),
        ("GET / HTTP/1.1|Host: PAGE.", 403),
        ("GET / HTTP/1.1|Host: attacker@PAGE|Origin: http://PAGE", 403),
        ("GET / HTTP/1.1|Host: x.PAGE", 400),
        ("GET / HTTP/1.1|Host: xPAGE", 404),
    ] {
        let answer = ask(&tunnel, &request.replace("PAGE", &page)).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
    }
    assert_eq!(canary.connections().await, 0);
    // A request to its own origin goes to the target and not to the admin server.
    for path in ["/clients", "/metrics", &format!("/client/{KEY}/http/127.0.0.1:1/")] {
        let request = format!("GET {path} HTTP/1.1|Host: {page}:1|Sec-Fetch-Site: same-origin");
        let answer = ask(&tunnel, &request).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "canary"), "{path}");
    }
    assert_eq!(canary.connections().await, 3);
    tunnel.end().await;
}
