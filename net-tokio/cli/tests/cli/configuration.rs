//! Options from flags, environment and file, and the errors about them.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::process::{Process, eventually, program, run};
use crate::tunnel::{TOKEN, folder, owned, path, server_arguments, write};

/// A server that cannot start; the text must have the reason, and the exit code the kind of the fault.
fn fails(arguments: &[&str], code: i32, texts: &[&str]) {
    let folder = folder();
    let failed = run(&[server_arguments(&folder), owned(arguments)].concat());
    assert_eq!(failed.code, code, "{}", failed.stderr);
    for text in texts {
        assert!(failed.stderr.contains(text), "{text:?} is missing in\n{}", failed.stderr);
    }
    assert!(failed.stdout.is_empty(), "{}", failed.stdout);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let folder = folder();
    let socket = |name: &str| format!("unix:{}", path(&folder, name));
    let (config, tokens) = (path(&folder, "config.toml"), path(&folder, "tokens"));
    let content = format!("[server]\nlisten = {:?}\ntoken-file = {tokens:?}\n", socket("file"));
    write(folder.path().join("config.toml").as_path(), &content);
    let listens_on = |arguments: &[&str], environment: bool| {
        let mut command = program(&[&["server", "--config", config.as_str()], arguments].concat());
        if environment {
            command.env("WATERTIGHT_SERVER_LISTEN", socket("environment"));
        }
        let server = Process::ready_with(command);
        let address = server.address("agents");
        assert_eq!(server.stop().code, 0);
        address
    };
    assert_eq!(listens_on(&[], false), socket("file"));
    assert_eq!(listens_on(&[], true), socket("environment"));
    assert_eq!(listens_on(&["--listen", &socket("flag")], true), socket("flag"));
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "the sockets' files are gone");
}

#[test]
fn an_unknown_key_in_the_file_is_named() {
    let folder = folder();
    let config = path(&folder, "config.toml");
    write(folder.path().join("config.toml").as_path(), "[agent]\nkey = \"x\"\nalow = []\n");
    let failed = run(&["agent", "--config", &config]);
    assert_eq!(failed.code, 2);
    for text in [config.as_str(), "line 3", "\"alow\"", "did you mean \"allow\"?"] {
        assert!(failed.stderr.contains(text), "{}", failed.stderr);
    }
}

#[test]
fn a_number_that_cannot_be_is_explained() {
    for option in ["--max-handshakes", "--max-clients", "--max-connections"] {
        for number in ["0", "-1", "many", "1.5", "99999999999999999999999"] {
            fails(&[option, number], 2, &[option, "a whole number of at least 1"]);
        }
    }
    fails(&["--max-buffered", "0"], 2, &["--max-buffered", "at least 1MiB"]);
    fails(&["--handshake-timeout", "0s"], 2, &["--handshake-timeout", "cannot be zero"]);
}

#[test]
fn what_is_missing_is_named() {
    for (arguments, text) in [
        (vec!["server"], "--listen"),
        (vec!["server", "--listen", "127.0.0.1:0"], "--token-file"),
        (vec!["agent"], "--connect"),
        (vec!["agent", "--connect", "ws://localhost"], "--key"),
        (vec!["agent", "--config", "/nowhere.toml"], "/nowhere.toml"),
    ] {
        let failed = run(&arguments);
        assert_eq!(failed.code, 2, "{}", failed.stderr);
        assert!(failed.stderr.contains(text), "{}", failed.stderr);
    }
}

#[test]
fn a_malformed_forward_is_explained() {
    fails(&["--forward", "8080"], 2, &["--forward", "LISTEN=KEY=TARGET"]);
    fails(&["--forward", "127.0.0.1:1=key=web"], 2, &["TARGET", "localhost:80"]);
    fails(&["--forward", "8080=key=web:80"], 2, &["LISTEN", "127.0.0.1:8080"]);
}

#[test]
fn a_busy_port_is_a_start_that_failed() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let text = format!("cannot listen on {address}: address in use");
    fails(&["--listen", &address], 3, &[&text, "another watertight", "--listen"]);
    let forward = format!("{address}=key=web:80");
    fails(&["--forward", &forward], 3, &[&text, "--forward"]);
}

#[test]
fn a_public_admin_address_is_refused() {
    fails(&["--admin", "0.0.0.0:0"], 2, &["not a loopback address", "no password", "127.0.0.1"]);
}

#[test]
fn a_file_without_an_end_is_refused() {
    let folder = folder();
    let tokens = path(&folder, "tokens");
    let base = ["server", "--listen", "127.0.0.1:0"];
    let tls = ["--token-file", &tokens, "--tls-cert", "/dev/zero", "--tls-key", "/dev/zero"];
    for (arguments, bound) in [
        (&["--token-file", "/dev/zero"][..], "64 MiB"),
        (&["--config", "/dev/zero"], "64 MiB"),
        (&tls, "16 MiB"),
    ] {
        let failed = run(&[&base, arguments].concat());
        assert_eq!(failed.code, 2, "{failed:?}");
        let says = |text| failed.stderr.contains(text);
        assert!(says("/dev/zero") && says("more than") && says(bound), "{failed:?}");
    }
}

#[test]
fn a_bad_token_file_is_named_with_its_line() {
    let folder = folder();
    let tokens = path(&folder, "bad");
    write(folder.path().join("bad").as_path(), &format!("{TOKEN}\n# fine\na b c\n"));
    let text = format!("{tokens}:3: ");

    let failed = run(&["server", "--listen", "127.0.0.1:0", "--token-file", &tokens]);
    assert_eq!(failed.code, 2);
    assert!(failed.stderr.contains(&text), "{}", failed.stderr);
}

#[test]
fn files_of_other_editors_are_read() {
    let folder = folder();
    let socket = format!("unix:{}", path(&folder, "socket"));
    let (config, tokens) = (path(&folder, "config.toml"), path(&folder, "tokens"));
    let content = format!("\u{feff}[server]\r\nlisten = {socket:?}\r\ntoken-file = {tokens:?}\r\n");
    write(folder.path().join("config.toml").as_path(), &content);
    write(folder.path().join("tokens").as_path(), &format!("\u{feff}{TOKEN}\r\n# fine\r\n"));
    let server = Process::ready(&["server", "--config", &config]);
    let url = server.address("agents");
    let agent = ["agent", "--connect", &url, "--key", "k", "--token-file", &tokens];
    let agent = Process::ready(&agent);
    eventually("the session", || server.log().contains("session started").then_some(()));
    assert_eq!(agent.stop().code, 0);
    assert_eq!(server.stop().code, 0);
}

#[test]
fn a_file_in_another_encoding_is_explained() {
    let folder = folder();
    std::fs::write(folder.path().join("tokens"), b"\xff\xfes\0").unwrap();
    let failed = run(&server_arguments(&folder));
    assert_eq!(failed.code, 2);
    assert!(failed.stderr.contains("is not UTF-8 text: save it as UTF-8"), "{}", failed.stderr);
}

#[test]
fn half_an_identity_is_refused() {
    fails(&["--tls-cert", "chain.pem"], 2, &["--tls-key"]);
    fails(&["--connect-path", "connect"], 2, &["--connect-path", "begins with /"]);
    fails(&["--client-ca", "ca.pem"], 2, &["--tls-cert"]);
}

#[test]
fn trust_is_for_tls() {
    let arguments = ["agent", "--connect", "ws://localhost", "--key", "k", "--ca", "ca.pem"];
    let failed = run(&arguments);
    assert_eq!(failed.code, 2, "{}", failed.stderr);
    assert!(failed.stderr.contains("wss:// or tls://"), "{}", failed.stderr);
}

#[test]
fn other_mistakes_are_explained() {
    fails(&["--log", "inf"], 2, &["--log", "\"inf\" is not one of", "debug"]);
    fails(&["--drain-timeout", "30"], 2, &["30s"]);
    fails(&["--allow-dial", "localhost"], 2, &["localhost:80"]);
    fails(&["--max-clients", "0"], 2, &["--max-clients", "at least 1"]);
    fails(&["--handshake-timeout", "0s"], 2, &["--handshake-timeout", "zero", "10s"]);
    fails(&["--silence", "0s"], 2, &["--silence", "at least 1s"]);
    fails(&["--silence", "999ms"], 2, &["--silence", "at least 1s"]);
    fails(&["--admin", "unix:admin.sock"], 2, &["absolute"]);
}

#[test]
fn a_file_that_others_can_read_or_change_is_warned_of() {
    let folder = folder();
    let config = path(&folder, "config.toml");
    let warnings = |file: &str, mode: u32| {
        let set = |file: &str, mode| {
            let file = folder.path().join(file);
            std::fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        };
        set(file, mode);
        let arguments = [server_arguments(&folder), owned(&["--config", &config])].concat();
        let log = Process::ready(&arguments).stop().stderr;
        set(file, 0o600);
        ["chmod o-r", "chmod go-w"].map(|advice| log.contains(advice))
    };
    write(&folder.path().join("config.toml"), "log = \"info\"\n");
    std::fs::set_permissions(folder.path().join("tokens"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(warnings("config.toml", 0o600), [false, false]);
    assert_eq!(warnings("tokens", 0o644), [true, false]);
    assert_eq!(warnings("tokens", 0o640), [false, false]);
    assert_eq!(warnings("tokens", 0o660), [false, true]);
    assert_eq!(warnings("config.toml", 0o644), [false, false], "no secret is in it");
    assert_eq!(warnings("config.toml", 0o622), [false, true]);
    write(&folder.path().join("config.toml"), "[agent]\nheader = \"Authorization: x\"\n");
    assert_eq!(warnings("config.toml", 0o644), [true, false]);
}

#[test]
fn a_password_in_a_url_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "[agent]\nkey = \"a\"\nconnect = \"ws://me:secret@b:1\"\n").unwrap();
    let file = file.display().to_string();
    let given = ["agent", "--connect", "ws://me:secret@b:1", "--key", "a"];
    let found = ["agent", "--config", &file];
    for failed in [run(&given), run(&found)] {
        assert_eq!(failed.code, 2);
        assert!(failed.stderr.contains("give the token as a token"), "{}", failed.stderr);
        assert!(!failed.stderr.contains("secret"), "{}", failed.stderr);
    }
    let proxy =
        ["agent", "--connect", "ws://b", "--key", "a", "--proxy", "http://me:secret@b:99999"];
    let failed = run(&proxy);
    assert_eq!(failed.code, 2, "{}", failed.stderr);
    assert!(!failed.stderr.contains("secret"), "{}", failed.stderr);
}
