//! Messages that the Go implementation sent: this one reads them, and would send the same bytes.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;
use watertight_core::wire::{Body, ClientRoute, DecodeLimits, Dialect, Message};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

/// P2.1.
#[test]
fn every_recorded_message_reads_as_it_was_understood() {
    each_message(|place, line, message| {
        assert_eq!(line["message_id"], message.message_id, "{place}");
        assert_eq!(line["connection_id"], message.connection.get(), "{place}");
        assert_eq!(line["type"], type_name(&message.body), "{place}");
        assert_eq!(
            line.get("deadline").and_then(Value::as_i64),
            deadline(&message.body),
            "{place}"
        );
        assert_eq!(line.get("text").and_then(Value::as_str), text(&message.body).as_deref());
        assert_eq!(line.get("ids").map(values), ids(&message.body), "{place}");
    });
}

/// P2.1.
#[test]
fn every_recorded_message_is_written_byte_for_byte() {
    each_message(|place, line, message| {
        let encoded = message.encode();
        let bytes = [&*encoded.header, &encoded.payload].concat();
        assert_eq!(bytes, recorded(line).unwrap(), "{place}");
        assert_eq!(bytes.len(), encoded.len(), "{place}");
    });
}

/// P5.17.
#[test]
fn both_dialects_agree_on_the_base_protocol() {
    each_message(|place, line, message| {
        let bytes = Bytes::from(recorded(line).unwrap());
        let extended = Message::decode(bytes, Dialect::Extended, &DecodeLimits::default());
        assert_eq!(extended.as_ref(), Ok(message), "{place}");
    });
}

#[test]
fn the_recordings_show_every_type_of_the_base_protocol() {
    let mut seen = std::collections::BTreeSet::new();
    each_message(|_, _, message| {
        seen.insert(type_name(&message.body));
    });
    assert_eq!(seen.len(), 8, "{seen:?}");
}

fn each_message(mut check: impl FnMut(&str, &Value, &Message)) {
    for (place, line) in lines() {
        let Some(bytes) = recorded(&line) else {
            continue;
        };
        let message = Message::decode(bytes.into(), Dialect::Base, &DecodeLimits::default());
        check(&place, &line, &message.unwrap_or_else(|error| panic!("{place}: {error}")));
    }
}

fn lines() -> Vec<(String, Value)> {
    let mut files: Vec<_> =
        fs::read_dir(VECTORS).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files.iter().flat_map(|path| lines_of(path)).collect()
}

fn lines_of(path: &Path) -> Vec<(String, Value)> {
    let name = path.file_name().unwrap().display();
    let content = fs::read_to_string(path).unwrap();
    let numbered = content.lines().enumerate();
    numbered
        .map(|(index, line)| (format!("{name}:{}", index + 1), serde_json::from_str(line).unwrap()))
        .collect()
}

/// The bytes of a protocol message; of a long one, its header and a payload of its length.
fn recorded(line: &Value) -> Option<Vec<u8>> {
    line.get("type")?;
    if let Some(whole) = line.get("hex") {
        return Some(unhex(whole));
    }
    let mut bytes = unhex(&line["header_hex"]);
    let payload = usize::try_from(line["payload_len"].as_u64()?).unwrap();
    bytes.resize(bytes.len() + payload, 0x5a);
    Some(bytes)
}

fn unhex(value: &Value) -> Vec<u8> {
    let hex = value.as_str().unwrap();
    let starts = (0..hex.len()).step_by(2);
    starts.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn values(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

fn type_name(body: &Body) -> &'static str {
    match body {
        Body::Data { .. } => "Data",
        Body::Connect { .. } => "Connect",
        Body::Error { .. } => "Error",
        Body::AddClient(_) => "AddClient",
        Body::RemoveClient(_) => "RemoveClient",
        Body::Pause => "Pause",
        Body::Resume => "Resume",
        Body::SyncConnections { .. } => "SyncConnections",
        other => panic!("not of the base protocol: {other:?}"),
    }
}

fn deadline(body: &Body) -> Option<i64> {
    match body {
        Body::Data { deadline, .. } | Body::Connect { deadline, .. } => Some(*deadline),
        _ => None,
    }
}

fn text(body: &Body) -> Option<String> {
    match body {
        Body::Connect { target, .. } => Some(target.clone()),
        Body::Error { text } => Some(text.clone()),
        Body::AddClient(route) | Body::RemoveClient(route) => Some(announced(route)),
        _ => None,
    }
}

fn announced(route: &ClientRoute) -> String {
    format!("{}/{}", route.client_key, route.session_key)
}

fn ids(body: &Body) -> Option<Vec<i64>> {
    match body {
        Body::SyncConnections { ids } => Some(ids.iter().map(|id| id.get()).collect()),
        _ => None,
    }
}
