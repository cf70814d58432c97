//! The walk of a payload, end to end: the files that it crosses, its look-ups in the core's table, and the
//! locks that a turn of the driver takes.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use watertight_core::testkit::{LOOK_UPS, receive, transmit};
use watertight_core::wire::Dialect;
use watertight_core::{Event, Instant, Role, Session, SessionConfig};

use crate::tree::Tree;

/// The section of ARCHITECTURE.md that names the files.
const SECTION: &str = "## The walk of a payload";

/// Folders that the paths in ARCHITECTURE.md are relative to.
const FOLDERS: [&str; 2] = ["core/src", "net-tokio/src"];

/// Locks of the adapter in one turn of the driver, by the source of the turn.
const TURN: (&str, &str) = ("net-tokio/src/session/shared.rs", "turn");

/// The files that a payload crosses, as ARCHITECTURE.md names them: paths from the root of the repository, or
/// the name as it stands there where no file has it.
pub fn files(tree: &Tree) -> BTreeSet<String> {
    let document = tree.documents.iter().find(|document| document.path == "ARCHITECTURE.md");
    let text = document.map_or("", |document| &*document.text);
    let section = text.split_once(SECTION).map_or("", |(_, rest)| rest);
    let section = section.split("\n## ").next().unwrap_or_default();
    let spans = section.split('`').skip(1).step_by(2);
    spans.filter(|span| span.ends_with(".rs")).map(|span| resolve(tree, span)).collect()
}

fn resolve(tree: &Tree, name: &str) -> String {
    let paths = FOLDERS.map(|folder| format!("{folder}/{name}"));
    let known = |path: &&String| tree.sources.iter().any(|source| source.path == **path);
    paths.iter().find(known).map_or_else(|| name.to_owned(), Clone::clone)
}

/// Locks that the function of a turn takes.
pub fn locks(tree: &Tree) -> usize {
    let (path, name) = TURN;
    let Some(source) = tree.sources.iter().find(|source| source.path == path) else { return 0 };
    let body = source.functions().find(|(function, _)| function.name == name);
    let Some((first, lines)) = body.map(|(function, lines)| (function.at.line, lines)) else {
        return 0;
    };
    let lines = source.text.lines().skip(first.saturating_sub(1)).take(lines);
    lines.map(|line| line.matches(".lock()").count()).sum()
}

/// Look-ups in the tables of two sessions for one Data message: the write, the transmission, the receipt and
/// the read.
pub fn look_ups() -> u32 {
    let now = Instant::from_epoch(Duration::from_secs(1));
    let session = |role| Session::new(now, role, Dialect::Extended, SessionConfig::default());
    let (mut near, mut far) = (session(Role::Acceptor), session(Role::Connector));
    let Ok(id) = near.open(now, "tcp/target:1", None) else { return 0 };
    exchange(&mut near, &mut far, now);
    let Ok(()) = far.accept(now, id) else { return 0 };
    exchange(&mut near, &mut far, now);
    // The application waits for it.
    let waits = far.read(now, id, 1000).is_err();
    let before = LOOK_UPS.load(Ordering::Relaxed);
    let written = near.write(now, id, &mut Bytes::from_static(&[7; 1000]));
    while let Some(item) = transmit(&mut near, now) {
        receive(&mut far, now, item);
    }
    let readable =
        std::iter::from_fn(|| far.poll_event()).any(|event| event == Event::Readable(id));
    let read = far.read(now, id, 1000);
    let after = LOOK_UPS.load(Ordering::Relaxed);
    assert!(waits && written.is_ok() && readable, "the payload has arrived");
    assert!(read.is_ok_and(|bytes| bytes.len() == 1000), "the payload is whole");
    after.wrapping_sub(before)
}

fn exchange(near: &mut Session, far: &mut Session, now: Instant) {
    while let Some(item) = transmit(near, now) {
        receive(far, now, item);
    }
    while let Some(item) = transmit(far, now) {
        receive(near, now, item);
    }
    for session in [near, far] {
        while session.poll_event().is_some() {}
    }
}
