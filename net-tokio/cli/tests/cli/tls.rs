//! TLS by options: trust, reload on SIGHUP, and errors that name the file.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;

use crate::http::get;
use crate::process::{Process, eventually, program, run};
use crate::target;
use crate::tunnel::{KEY, agent_arguments, folder, owned, path, server_arguments, write};

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
    let stranger = Process::start(program(&agent));
    eventually("the complaint", || stranger.log().contains("TLS with").then_some(()));
    assert_eq!(stranger.stop().code, 0);
    let agent = Process::ready(&[&agent[..], &["--ca", &cert]].concat());
    assert_eq!(agent.stop().code, 0);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn hangup_reads_the_certificate_again_and_keeps_the_old_one_if_it_is_bad() {
    let folder = folder();
    let issue = |name: &str| {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_string()]).unwrap();
        write(&folder.path().join(name), &cert.pem());
        write(&folder.path().join("cert.pem"), &cert.pem());
        write(&folder.path().join("key.pem"), &signing_key.serialize_pem());
        path(&folder, name)
    };
    let old = issue("old.pem");
    let (cert, key) = (path(&folder, "cert.pem"), path(&folder, "key.pem"));
    let tls = owned(&["--tls-cert", &cert, "--tls-key", &key]);
    let server = Process::ready(&[server_arguments(&folder), tls].concat());
    let port = server.address("agents").rsplit_once(':').unwrap().1.to_string();
    let (url, tokens) = (format!("tls://localhost:{port}"), path(&folder, "tokens"));
    let agent = |ca: &str| {
        let agent = ["agent", "--connect", &url, "--key", KEY, "--token-file", &tokens, "--ca", ca];
        program(&agent)
    };
    write(&folder.path().join("key.pem"), "no key\n");
    server.signal(Signal::HUP);
    eventually("the complaint", || {
        let log = server.log();
        (log.contains("stay in force") && log.contains("key.pem: no private key")).then_some(())
    });
    let before = Process::ready_with(agent(&old));
    let new = issue("new.pem");
    server.signal(Signal::HUP);
    eventually("the new ones", || server.log().contains("key read again").then_some(()));
    let stranger = Process::start(agent(&old));
    eventually("distrust", || stranger.log().contains("TLS with").then_some(()));
    assert_eq!(stranger.stop().code, 0);
    assert_eq!(Process::ready_with(agent(&new)).stop().code, 0);
    assert!(!before.log().contains("session ended"), "{}", before.log());
    assert_eq!(before.stop().code, 0);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn an_agent_comes_back_after_the_authority_was_renewed() {
    let folder = folder();
    let issue = |parts: [&str; 3]| {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_string()]).unwrap();
        for (name, text) in parts.iter().zip([cert.pem(), signing_key.serialize_pem(), cert.pem()])
        {
            write(&folder.path().join(name), &text);
        }
    };
    issue(["cert.pem", "key.pem", "ca.pem"]);
    let [cert, key, ca] = ["cert.pem", "key.pem", "ca.pem"].map(|name| path(&folder, name));
    let server = |address: &str| {
        let tokens = path(&folder, "tokens");
        let arguments = ["server", "--listen", address, "--token-file", &tokens];
        let tls = ["--admin", "0", "--tls-cert", &cert, "--tls-key", &key];
        Process::ready(&[&arguments[..], &tls].concat())
    };
    let first = server("127.0.0.1:0");
    let address = first.address("agents");
    let port = address.rsplit_once(':').unwrap().1;
    let (url, tokens) = (format!("wss://localhost:{port}"), path(&folder, "tokens"));
    let agent = Process::ready(&[
        "agent",
        "--connect",
        &url,
        "--key",
        KEY,
        "--token-file",
        &tokens,
        "--ca",
        &ca,
    ]);
    assert_eq!(first.stop().code, 0);
    issue(["cert.pem", "key.pem", "ca.pem"]);
    let second = server(&address);
    let clients = || get(&second.address("admin"), "/clients").json();
    eventually("the agent", || {
        (!clients()["clients"].as_array().unwrap().is_empty()).then_some(())
    });
    let text = "certificates for connections to servers read again";
    eventually("the new authority", || agent.log().contains(text).then_some(()));
    assert_eq!(agent.stop().code, 0);
    assert_eq!(second.stop().code, 0);
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

#[test]
fn the_proxy_verifies_https_targets() {
    let folder = folder();
    let certificate = generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let roots = folder.path().join("roots.pem");
    write(&roots, &certificate.cert.pem());
    let target = target::start_tls(&certificate);
    let port = target.rsplit_once(':').unwrap().1;
    let mut command = program(&[server_arguments(&folder), owned(&["--admin", "0"])].concat());
    // The variable with the path of the system's roots.
    command.env("SSL_CERT_FILE", &roots).env_remove("SSL_CERT_DIR");
    let server = Process::ready_with(command);
    let allowed = owned(&["--allow", "127.0.0.1:*"]);
    let agent = Process::ready(&[agent_arguments(&folder, &server), allowed].concat());
    let admin = server.address("admin");
    let https = |host: &str| get(&admin, &format!("/client/edge%207/https/{host}:{port}/"));
    let answer =
        eventually("an answer", || Some(https("localhost")).filter(|answer| answer.status != 404));
    assert_eq!((answer.status, answer.body.as_str()), (200, "secure\n"), "{answer:?}");
    let other_name = https("127.0.0.1");
    assert_eq!(other_name.status, 502, "{other_name:?}");
    assert!(other_name.body.contains("TLS with 127.0.0.1"), "{other_name:?}");
    assert_eq!(agent.stop().code, 0);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn a_certificate_that_agents_will_refuse_is_warned_of_at_the_start() {
    let folder = folder();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    write(&folder.path().join("cert.pem"), &params.self_signed(&key).unwrap().pem());
    write(&folder.path().join("key.pem"), &key.serialize_pem());
    let (cert, key) = (path(&folder, "cert.pem"), path(&folder, "key.pem"));
    let tls = owned(&["--tls-cert", &cert, "--tls-key", &key]);
    let ended = Process::ready(&[server_arguments(&folder), tls.clone()].concat()).stop();
    let warning =
        format!("agents will refuse {cert}: the certificate has expired on Wed, 01 Jan 2020");
    assert!(ended.stderr.contains(&warning), "{}", ended.stderr);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    write(&folder.path().join("key.pem"), encrypted);
    let failed = run(&[server_arguments(&folder), tls].concat());
    assert_eq!(failed.code, 2);
    assert!(failed.stderr.contains("openssl pkey -in"), "{}", failed.stderr);
}
