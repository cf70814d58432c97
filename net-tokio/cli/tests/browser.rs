//! Web pages behind agents, in a real browser: none of them reaches what is behind another one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

mod processes;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use processes::{
    Authority, KEY, PATIENCE, Process, Tunnel, Watertight, eventually, found, quiet_command, run,
};

/// Requests to a site: method, path and cookies.
type Asked = Arc<Mutex<Vec<(Method, String, String)>>>;

/// A web site that notes what it is asked.
struct Site {
    at: SocketAddr,
    asked: Asked,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Content {
    asked: Asked,
    page: Arc<Mutex<String>>,
}

/// A service worker that answers for every page of its origin.
const WORKER: &str = "self.addEventListener('install', () => self.skipWaiting());\
    self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));\
    self.addEventListener('fetch', event => { const url = new URL(event.request.url);\
        if (url.pathname == '/later') event.respondWith(new Response('taken over')); });";

impl Site {
    async fn start() -> (Self, Arc<Mutex<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let content = Content { asked: Arc::default(), page: Arc::default() };
        let (asked, page) = (Arc::clone(&content.asked), Arc::clone(&content.page));
        let app = Router::new().fallback(answer).with_state(content);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (Self { at, asked, task }, page)
    }

    /// The requests for paths that begin with `prefix`.
    fn asked(&self, prefix: &str) -> Vec<(Method, String, String)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, path, _)| path.starts_with(prefix)).cloned().collect()
    }

    async fn is_asked(&self, path: &str) -> Vec<(Method, String, String)> {
        eventually(PATIENCE, path, async || {
            let asked = self.asked(path);
            if asked.is_empty() { Err("it is not asked".to_string()) } else { Ok(asked) }
        })
        .await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(content): State<Content>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> impl IntoResponse {
    let cookies = headers.get_all(header::COOKIE).iter().map(|value| value.to_str().unwrap());
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    content.asked.lock().unwrap().push((method, uri.to_string(), cookies));
    let page = content.page.lock().unwrap().clone();
    let mut answer = HeaderMap::new();
    let mut set = |name, value: &str| {
        answer.append(name, value.parse().unwrap());
    };
    set(header::SET_COOKIE, "of_site=1; HttpOnly; Path=/; Domain=localhost");
    set(header::SET_COOKIE, "own=1; HttpOnly; Path=/");
    if uri.path() == "/away" {
        set(header::LOCATION, uri.query().unwrap());
        return (StatusCode::FOUND, answer, String::new());
    }
    if uri.path() == "/worker.js" {
        set(header::CONTENT_TYPE, "text/javascript");
        set(header::HeaderName::from_static("service-worker-allowed"), "/");
        return (StatusCode::OK, answer, WORKER.to_string());
    }
    set(header::CONTENT_TYPE, "text/html");
    (StatusCode::OK, answer, page)
}

/// A browser with its own profile, which it keeps between visits.
struct Browser(TempDir);

/// Without it, the browser would end once the page is loaded.
const STAYS: &str = "--remote-debugging-port=0";

impl Browser {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn visit(&self, url: &str) -> Process {
        Process::spawn(self.starts("chromium").arg(STAYS).args(self.arguments(url)))
    }

    /// Ends when the page is loaded, and writes what it then shows.
    fn dump(&self, url: &str) -> Process {
        Process::spawn(self.starts("chromium").arg("--dump-dom").args(self.arguments(url)))
    }

    fn starts(&self, program: &str) -> Command {
        let mut command = quiet_command(program);
        command.env("HOME", self.0.path());
        command
    }

    fn arguments(&self, url: &str) -> Vec<String> {
        let profile = format!("--user-data-dir={}", self.path("profile"));
        // Not as another user than root, and with no more memory than a small machine has.
        let fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
        let quiet = ["--no-first-run", "--disable-background-networking"];
        [&fixed[..], &quiet, &[&profile, url]].concat().into_iter().map(String::from).collect()
    }

    /// Gives it a certificate of its user, and trust in the authority that has signed it.
    async fn imports(&self, authority: &Authority, [cert, key]: &[String; 2]) {
        let (store, bundle) = (self.path(".pki/nssdb"), self.path("bundle.p12"));
        std::fs::create_dir_all(&store).unwrap();
        let store = format!("sql:{store}");
        let ask = async |program: &str, args: &[&str]| {
            run(quiet_command(program).args(args)).await;
        };
        let bundling = ["pkcs12", "-export", "-passout", "pass:", "-in", cert, "-inkey", key];
        ask("openssl", &[&bundling[..], &["-out", &bundle]].concat()).await;
        ask("certutil", &["-N", "--empty-password", "-d", &store]).await;
        let ca = authority.ca();
        ask("certutil", &["-A", "-d", &store, "-n", "ca", "-t", "C,,", "-i", &ca]).await;
        ask("pk12util", &["-d", &store, "-i", &bundle, "-W", ""]).await;
    }

    /// A visit of a user who lets the browser show his certificate at `site`. That is a matter of the
    /// machine's configuration, which only this browser sees.
    fn visit_with_certificate(&self, url: &str, site: &str) -> Process {
        let rule = format!(r#"{{\"pattern\":\"{site}\",\"filter\":{{}}}}"#);
        let policy = format!(r#"{{"AutoSelectCertificateForUrls":["{rule}"]}}"#);
        std::fs::write(self.path("policy.json"), policy).unwrap();
        let script = format!(
            "mount -t tmpfs none /etc/chromium && mkdir -p /etc/chromium/policies/managed && \
             cp {} /etc/chromium/policies/managed && exec chromium \"$@\"",
            self.path("policy.json")
        );
        let mut command = self.starts("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh", STAYS]).args(self.arguments(url));
        Process::spawn(&mut command)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// The name of the page that shows a site behind an agent.
fn page(key: &str, site: SocketAddr, admin: SocketAddr) -> String {
    format!("http://{key}--127_0_0_1--{}.localhost:{}", site.port(), admin.port())
}

#[tokio::test]
async fn s2_a_page_behind_an_agent_reaches_nothing_behind_another_one() {
    if !found(&[("chromium", "chromium")]) {
        return;
    }
    let tunnel = Tunnel::by("tcp").server(["--admin-pages"]).start().await;
    let (admin, browser) = (tunnel.server.admin(), Browser::new());
    let (evil, evil_page) = Site::start().await;
    let (good, good_page) = Site::start().await;
    let (evil_at, good_at) = (page(KEY, evil.at, admin), page(KEY, good.at, admin));

    // The good page is visited, and has its cookie.
    *good_page.lock().unwrap() = "<script>fetch('/visited')</script>".to_string();
    let visit = browser.visit(&format!("{good_at}/first"));
    let asked = good.is_asked("/visited").await;
    assert_eq!(asked[0].2, "of_site=1; own=1", "its own cookies work");
    drop(visit);

    // The evil page tries everything, and reports the results.
    *evil_page.lock().unwrap() = format!(
        "<script>(async () => {{
            const results = [];
            const attempt = async (name, what) => {{
                try {{ results.push(name + '=' + await what()); }}
                catch (error) {{ results.push(name + '=no'); }}
            }};
            const get = (url, options) => fetch(url, options).then(answer => answer.text());
            document.cookie = 'planted=1; path=/; domain=localhost';
            await attempt('read', () => get('{good_at}/stolen', {{credentials: 'include'}}));
            await attempt('post', () => fetch('{good_at}/posted',
                {{method: 'POST', mode: 'no-cors', credentials: 'include', body: 'x'}}));
            await attempt('clients', () => get('http://localhost:{port}/clients'));
            await attempt('client', () => get('http://localhost:{port}/client/{KEY}/http/{good}/stolen'));
            await attempt('worker', () => navigator.serviceWorker.register('/worker.js', {{scope: '/'}})
                .then(() => navigator.serviceWorker.ready));
            const frame = document.createElement('iframe');
            frame.src = '{good_at}/framed';
            frame.onload = async () => {{
                await fetch('/done?' + encodeURIComponent(results.join(' ')));
                location = '/away?{good_at}/redirected';
            }};
            document.body.append(frame);
        }})()</script>",
        port = admin.port(),
        good = good.at,
    );
    let visit = browser.visit(&format!("{evil_at}/"));
    let done = evil.is_asked("/done").await;
    let results = done[0].1.clone();
    for refused in ["read%3Dno", "clients%3Dno", "client%3Dno"] {
        assert!(results.contains(refused), "{results}");
    }
    assert!(!results.contains("worker%3Dno"), "a page may have one of its own: {results}");
    evil.is_asked("/away").await;
    drop(visit);

    // Its cookies and workers do not reach the good page.
    *good_page.lock().unwrap() =
        "<script>fetch('/after' + encodeURIComponent(document.cookie))</script>".into();
    let visit = browser.visit(&format!("{good_at}/later"));
    let after = good.is_asked("/after").await;
    assert_eq!((after[0].1.as_str(), after[0].2.as_str()), ("/after", "of_site=1; own=1"));
    drop(visit);
    for path in ["/stolen", "/posted", "/framed", "/redirected"] {
        assert!(good.asked(path).is_empty(), "{:?}", good.asked(path));
    }
    assert_eq!(good.asked("/later").len(), 1, "no worker answered for it");
    tunnel.end().await;
}

#[tokio::test]
async fn s2_a_browser_is_told_where_to_go_instead_of_below_client() {
    if !found(&[("chromium", "chromium")]) {
        return;
    }
    let tunnel = Tunnel::by("tcp").start().await;
    let (admin, browser) = (tunnel.server.admin(), Browser::new());
    let (site, _) = Site::start().await;
    let (hostile, _) = Site::start().await;
    let path = format!("/client/{KEY}/http/{}/clicked", site.at);
    for host in ["127.0.0.1", "localhost"] {
        // One click leads to a hostile site, and that on to the admin server.
        let url = format!("http://{}/away?http://{host}:{}{path}", hostile.at, admin.port());
        let shown = browser.dump(&url).finish(PATIENCE).await.out;
        assert!(shown.contains("/client/ is for programs"), "{host}: {shown}");
        assert!(shown.contains("--forward") && shown.contains("--admin-pages"), "{host}: {shown}");
    }
    // A name of this machine for which a browser sends no header about the page.
    let url =
        format!("http://{}/away?http://[::ffff:127.0.0.1]:{}{path}", hostile.at, admin.port());
    let shown = browser.dump(&url).finish(PATIENCE).await.out;
    assert!(shown.contains("the admin server answers requests for localhost"), "{shown}");
    assert!(site.asked("/").is_empty());
    tunnel.end().await;
}

#[tokio::test]
#[ignore = "needs root, to configure a browser of its own"]
async fn s5_a_web_page_is_no_agent_whose_certificate_the_browser_has() {
    let programs =
        [("chromium", "chromium"), ("certutil", "libnss3-tools"), ("openssl", "openssl")];
    if !found(&programs) {
        return;
    }
    let (authority, browser) = (Authority::new(), Browser::new());
    let [cert, key] = authority.sign("localhost");
    let ca = authority.ca();
    let args = ["server", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--client-key-from=san"];
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca];
    let server = Watertight::start([&args[..], &tls].concat()).await;
    browser.imports(&authority, &authority.sign(KEY)).await;

    let (evil, page) = Site::start().await;
    let at = format!("localhost:{}", server.address("agents").port());
    *page.lock().unwrap() = format!(
        "<script>(async () => {{
            const reached = await fetch('https://{at}/', {{mode: 'no-cors', credentials: 'include'}})
                .then(() => 'reached', () => 'unreachable');
            const socket = new WebSocket('wss://{at}/connect');
            socket.onopen = () => fetch('/done?' + reached + '-open');
            socket.onclose = () => fetch('/done?' + reached + '-refused');
        }})()</script>"
    );
    let visit =
        browser.visit_with_certificate(&format!("http://{}/", evil.at), &format!("https://{at}"));
    let done = evil.is_asked("/done").await;
    // The certificate was shown: without one nothing is reached.
    assert_eq!(done[0].1, "/done?reached-refused", "{}", server.log());
    server.logs("no web page is an agent").await;
    assert!(server.clients().await.is_empty());
    drop(visit);
    server.terminate().await.is_settled();
}
