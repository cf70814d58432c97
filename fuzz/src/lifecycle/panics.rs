//! Panics are findings: kept for the report.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static CAUGHT: RefCell<String> = const { RefCell::new(String::new()) };
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `piece`; the message and the location of its panic, if it panics.
pub(super) fn watch<T>(piece: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WATCHED.get() {
                keep(info);
            } else {
                before(info);
            }
        }));
    });
    let before = WATCHED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(piece));
    WATCHED.set(before);
    result.map_err(|_| CAUGHT.take())
}

fn keep(info: &PanicHookInfo<'_>) {
    let what = info.payload_as_str().unwrap_or("something that is no text");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    CAUGHT.set(format!("{what} ({place})"));
}
