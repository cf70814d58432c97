//! Options from the environment.

use crate::process::{Finished, Process, program};
use crate::tunnel::{folder, owned, path, server_arguments};

#[test]
fn lists_in_the_environment_have_commas_or_lines() {
    let folder = folder();
    let socket = |name: &str| format!("unix:{}", path(&folder, name));
    let (a, b) = (socket("a"), socket("b"));
    let mut command = program(&["server", "--token-file", &path(&folder, "tokens")]);
    command.env("WATERTIGHT_SERVER_LISTEN", format!("{a},{b}"));
    command.env(
        "WATERTIGHT_SERVER_FORWARD",
        format!("{}=one,two=web:80\n{}=x=web:81", socket("c"), socket("d")),
    );
    let server = Process::ready_with(command);
    let ended = server.stop();
    assert_eq!(ended.code, 0);
    assert_eq!(ended.stdout.matches(" listening on unix:").count(), 4, "{}", ended.stdout);
}

#[test]
fn a_list_may_end_with_a_separator() {
    let folder = folder();
    let forward = |name: &str| format!("unix:{}=edge=web:80", path(&folder, name));
    let mut command = program(&server_arguments(&folder));
    command.env("WATERTIGHT_SERVER_FORWARD", format!("{}\n\n{}\n", forward("a"), forward("b")));
    command.env("WATERTIGHT_SERVER_ALLOW_DIAL", "localhost:80, localhost:81,");
    let ended = Process::ready_with(command).stop();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stdout.matches(" listening on unix:").count(), 2, "{}", ended.stdout);
}

/// The names of a command's variables, by its help.
fn variables(command: &str) -> Vec<String> {
    let help = crate::process::run(&[command, "--help"]).stdout;
    let names = help.split("[env: ").skip(1).map(|rest| rest.split([']', '=']).next().unwrap());
    owned(&names.collect::<Vec<_>>())
}

#[test]
fn an_empty_variable_is_none() {
    let folder = folder();
    let empty = |command: &str, arguments: &[String]| {
        let mut program = program(arguments);
        let names = variables(command);
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            program.env(name, "");
        }
        program
    };
    let ended = Process::ready_with(empty("server", &server_arguments(&folder))).stop();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let agent = Process::start(empty("agent", &owned(&["agent"]))).wait();
    assert!(agent.stderr.contains("no server to connect to"), "{}", agent.stderr);
    let help = Process::start(empty("agent", &owned(&["agent", "--help"]))).wait();
    assert!(help.stdout.contains("WATERTIGHT_AGENT_KEY"), "{}", help.stdout);
}

/// The error of a server that cannot start with `value` in the environment.
fn fails_with(name: &str, value: &str, arguments: &[&str]) -> Finished {
    let mut command = program(&[server_arguments(&folder()), owned(arguments)].concat());
    command.env(name, value);
    let failed = Process::start(command).wait();
    assert_eq!(failed.code, 2, "{}", failed.stderr);
    failed
}

#[test]
fn errors_name_the_variable() {
    for (name, value) in [
        ("WATERTIGHT_SERVER_FORWARD", "foo"),
        ("WATERTIGHT_SERVER_ADMIN", "foo"),
        ("WATERTIGHT_SERVER_MAX_CLIENTS", "0"),
        ("WATERTIGHT_SERVER_DRAIN_TIMEOUT", "30"),
        ("WATERTIGHT_LOG_FORMAT", "foo"),
    ] {
        let text = format!("the value comes from the environment variable {name}\n");
        let said = fails_with(name, value, &[]).stderr;
        assert!(said.contains(&text), "{said}");
    }
}

#[test]
fn errors_of_the_command_line_do_not_blame_the_environment() {
    let failed = fails_with("WATERTIGHT_SERVER_ADMIN", "foo", &["--max-clients", "0"]);
    assert!(failed.stderr.contains("'--max-clients <NUMBER>'"), "{}", failed.stderr);
    assert!(!failed.stderr.contains("environment"), "{}", failed.stderr);
}

/// The error of a command that cannot start with `name` in the environment.
fn refuses(command: &[&str], name: &str, value: &str) -> Finished {
    let mut command = program(command);
    command.env(name, value);
    let failed = Process::start(command).wait();
    assert_eq!(failed.code, 2, "{name}: {}", failed.stderr);
    failed
}

#[test]
fn an_unknown_variable_is_an_error_that_suggests_the_right_one() {
    for (name, meant) in [
        ("WATERTIGHT_SERVER_CLIENTCA", "WATERTIGHT_SERVER_CLIENT_CA"),
        ("WATERTIGHT_SERVER_CLIENT-CA", "WATERTIGHT_SERVER_CLIENT_CA"),
        ("WATERTIGHT_SERVER_TOKENFILE", "WATERTIGHT_SERVER_TOKEN_FILE"),
        ("WATERTIGHT_AGENT_CONECT", "WATERTIGHT_AGENT_CONNECT"),
        ("WATERTIGHT_LISTEN", "WATERTIGHT_SERVER_LISTEN"),
        ("WATERTIGHT_TOKEN_FILE", "WATERTIGHT_SERVER_TOKEN_FILE or WATERTIGHT_AGENT_TOKEN_FILE"),
        ("WATERTIGHT_AGENT_LOG", "WATERTIGHT_LOG"),
        ("WATERTIGHT_SERVER_CONFIG", "WATERTIGHT_CONFIG"),
    ] {
        for command in ["server", "agent", "demo"] {
            let said = refuses(&[command], name, "x").stderr;
            assert!(said.contains(&format!("unknown environment variable {name}")), "{said}");
            assert!(said.contains(&format!("did you mean {meant}?")), "{said}");
        }
    }
    let said = refuses(&["server"], "WATERTIGHT_ZZZ", "x").stderr;
    assert!(said.contains("watertight server --help"), "{said}");
    // An error of the command line comes first, and help is always available.
    let said = refuses(&["server", "--lisen", "x"], "WATERTIGHT_ZZZ", "x").stderr;
    assert!(said.contains("--lisen") && !said.contains("WATERTIGHT_ZZZ"), "{said}");
    for help in [&["server", "--help"][..], &["--version"], &["completions", "bash"]] {
        let mut command = program(help);
        command.env("WATERTIGHT_ZZZ", "x");
        assert_eq!(Process::start(command).wait().code, 0, "{help:?}");
    }
}

#[test]
fn what_kubernetes_adds_for_a_service_is_no_mistake() {
    let folder = folder();
    let mut command = program(&server_arguments(&folder));
    for (name, value) in [
        ("WATERTIGHT_SERVICE_HOST", "10.0.0.1"),
        ("WATERTIGHT_SERVICE_PORT", "443"),
        ("WATERTIGHT_SERVICE_PORT_HTTPS", "443"),
        ("WATERTIGHT_PORT", "tcp://10.0.0.1:443"),
        ("WATERTIGHT_PORT_443_TCP", "tcp://10.0.0.1:443"),
        ("WATERTIGHT_PORT_443_TCP_PROTO", "tcp"),
        ("WATERTIGHT_PORT_443_TCP_PORT", "443"),
        ("WATERTIGHT_PORT_443_TCP_ADDR", "10.0.0.1"),
        ("WATERTIGHT_SERVER_SERVICE_HOST", "10.0.0.2"),
        ("WATERTIGHT_SERVER_PORT", "udp://10.0.0.2:53"),
        ("WATERTIGHT_SERVER_PORT_53_UDP_ADDR", "10.0.0.2"),
        // Blank ones are none, known or not.
        ("WATERTIGHT_SERVER_OLD_OPTION", ""),
    ] {
        command.env(name, value);
    }
    assert_eq!(Process::ready_with(command).stop().code, 0);
    refuses(&["server"], "WATERTIGHT_SERVER_PORT", "443");
}
