//! The log of a running world: errors are violations, and a trace has the rest.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

use crate::Trace;
use crate::schedule::Host;

/// One line of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// Where it comes from.
    pub(crate) target: &'static str,
    pub(crate) message: String,
    /// The other fields, in order.
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) is_error: bool,
    /// The host that runs, where that is known.
    pub(crate) node: Option<String>,
}

type Listener = Box<dyn FnMut(Line)>;

thread_local! {
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
    /// turmoil enters a span for each host whose turn it is.
    static NODE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// A new subscriber makes every log statement check again whether it is enabled, so there is one for all
    /// runs of a thread.
    static ERRORS: Dispatch = Dispatch::new(Log { detailed: false });
}

/// Runs `piece`, and calls `listener` with its log: errors only, or also the messages of watertight and of
/// turmoil's network.
pub(crate) fn listen<T>(
    detailed: bool,
    listener: impl FnMut(Line) + 'static,
    piece: impl FnOnce() -> T,
) -> T {
    LISTENER.set(Some(Box::new(listener)));
    let dispatch =
        if detailed { Dispatch::new(Log { detailed }) } else { ERRORS.with(Clone::clone) };
    let result = dispatcher::with_default(&dispatch, piece);
    LISTENER.set(None);
    result
}

struct Log {
    detailed: bool,
}

impl Log {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return self.detailed
                && metadata.target().starts_with("turmoil")
                && metadata.name() == "node";
        }
        if !self.detailed {
            return *metadata.level() == Level::ERROR;
        }
        let level = if metadata.target() == "turmoil" { Level::TRACE } else { Level::DEBUG };
        let is_watertight = metadata.target().starts_with("watertight");
        *metadata.level() <= level && (is_watertight || metadata.target() == "turmoil")
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        let level = if self.detailed { Level::TRACE } else { Level::ERROR };
        Some(level.into())
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        allocation_counter::opt_out(|| {
            let mut line = Line::default();
            span.record(&mut line);
            NODE.set(line.field("name").map(|name| name.trim_matches('"').to_string()));
        });
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // The log is no part of a world's heap.
        allocation_counter::opt_out(|| update(event));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {
        allocation_counter::opt_out(|| NODE.set(None));
    }
}

fn update(event: &Event<'_>) {
    let mut line = Line {
        target: event.metadata().target(),
        is_error: *event.metadata().level() == Level::ERROR,
        node: NODE.with_borrow(Clone::clone),
        ..Line::default()
    };
    event.record(&mut line);
    LISTENER.with(|listener| {
        if let Ok(mut listener) = listener.try_borrow_mut()
            && let Some(listen) = listener.as_mut()
        {
            listen(line);
        }
    });
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text)),
        }
    }
}

impl Line {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(of, _)| *of == name).map(|(_, text)| text.as_str())
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.fields.iter().try_for_each(|(name, text)| write!(f, " {name}={text}"))
    }
}

/// Adds a message of turmoil's network to the trace, if a line is about one. Returns whether the line is
/// turmoil's.
pub(crate) fn tell_of_network(
    trace: &Trace,
    now: Duration,
    line: &Line,
    host_at: impl Fn(IpAddr) -> Option<Host>,
) -> bool {
    let host = |name| -> Option<Host> {
        let address: SocketAddr = line.field(name)?.parse().ok()?;
        host_at(address.ip())
    };
    if line.target != "turmoil" {
        return false;
    }
    if let (Some(from), Some(to)) = (host("src"), host("dst")) {
        trace.sent(now, from, to, || format!("{}: {}", line.message, summary(line)));
    }
    true
}

/// What goes, in short: turmoil shows each byte.
fn summary(line: &Line) -> String {
    let protocol = line.field("protocol").unwrap_or_default();
    let Some((kind, bytes)) = protocol.split_once(" [") else { return protocol.into() };
    let count = bytes.split(',').count();
    // FNV-1a over the text: enough to distinguish two runs.
    let hash = bytes.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{kind} {count} bytes #{hash:016x}")
}
