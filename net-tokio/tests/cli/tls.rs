use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::process::{Process, eventually, run};
use crate::tunnel::{KEY, folder, owned, path, server_arguments, write};

#[test]
fn an_agent_connects_over_tls_to_a_server_that_it_trusts() {
    let folder = folder();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_string()]).unwrap();
    write(&folder.path().join("cert.pem"), &cert.pem());
    write(&folder.path().join("key.pem"), &signing_key.serialize_pem());
    let (cert, key) = (path(&folder, "cert.pem"), path(&folder, "key.pem"));
    let tls = owned(&["--tls-cert", &cert, "--tls-key", &key]);
    let server = Process::ready(&[server_arguments(&folder), tls].concat());
    let port = server.address("agents").rsplit_once(':').unwrap().1.to_string();
    let url = format!("wss://localhost:{port}");
    let tokens = path(&folder, "tokens");
    let agent = ["agent", "--connect", &url, "--key", KEY, "--token-file", &tokens];
    let stranger = Process::ready(&agent);
    eventually("the complaint", || stranger.log().contains("TLS with").then_some(()));
    assert_eq!(stranger.stop().code, 0);
    let agent = Process::ready(&[&agent[..], &["--ca", &cert]].concat());
    eventually("the session", || server.log().contains("session started").then_some(()));
    assert_eq!(agent.stop().code, 0);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn a_bad_certificate_file_is_named() {
    let folder = folder();
    let tokens = path(&folder, "tokens");
    let more = owned(&["--tls-cert", &tokens, "--tls-key", &tokens]);
    let failed = run(&[server_arguments(&folder), more].concat());
    assert_eq!(failed.code, 2);
    assert!(failed.stderr.contains(&tokens), "{}", failed.stderr);
}
