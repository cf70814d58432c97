//! Help, version and completions.

use crate::process::run;

#[test]
fn help_tells_of_every_command() {
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for word in ["server", "agent", "demo", "completions", "Exit codes:", "SIGTERM", "--config"] {
        assert!(help.stdout.contains(word), "{word} is missing in\n{}", help.stdout);
    }
}

#[test]
fn help_of_the_commands_has_options_groups_and_examples() {
    let server = run(&["server", "--help"]).stdout;
    for word in [
        "--listen",
        "--connect-path",
        "--tls-cert",
        "--client-ca",
        "--token-file",
        "--allow-dial",
        "--forward",
        "--admin",
        "--admin-forwarded",
        "--handshake-timeout",
        "--silence",
        "--drain-timeout",
        "--max-clients",
        "--peer ",
        "--peer-id",
        "--peer-dns",
        "--peer-token-file",
        "--peer-ca",
        "Other servers (peers):",
        "--max-connections",
        "Limits:",
        "Examples:",
        "WATERTIGHT_SERVER_LISTEN",
        "[server]",
    ] {
        assert!(server.contains(word), "{word} is missing in\n{server}");
    }
    let agent = run(&["agent", "--help"]).stdout;
    for word in [
        "--connect",
        "--key",
        "--token-file",
        "--allow",
        "--ca",
        "--client-cert",
        "--proxy",
        "--forward",
        "--silence",
        "--drain-timeout",
        "--max-connections",
        "--reconnect-spread",
        "Examples:",
        "WATERTIGHT_AGENT_KEY",
    ] {
        assert!(agent.contains(word), "{word} is missing in\n{agent}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let version = run(&["--version"]);
    assert_eq!(version.stdout.trim(), concat!("watertight ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, 0);
        assert!(script.stdout.contains("drain-timeout"), "{shell}");
    }
}

#[test]
fn no_command_is_a_mistake() {
    assert_eq!(run::<&str>(&[]).code, 2);
    assert_eq!(run(&["serve"]).code, 2);
}
