//! Panics are findings: kept for the report, not printed a million times.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static WATCHED: RefCell<bool> = const { RefCell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `piece`. Returns the message of its first panic, too, even if that was caught inside.
pub(crate) fn watch<T>(piece: impl FnOnce() -> T) -> (Option<T>, Option<String>) {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WATCHED.with_borrow(|watched| *watched) {
                keep(info);
            } else {
                before(info);
            }
        }));
    });
    CAUGHT.set(None);
    WATCHED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(piece)).ok();
    WATCHED.set(false);
    (result, CAUGHT.take())
}

fn keep(info: &PanicHookInfo<'_>) {
    let what = info.payload_as_str().unwrap_or("something that is no text");
    let location = info.location().map(|location| {
        let file = location.file().rsplit_once("/src/").map_or(location.file(), |(_, file)| file);
        format!("{file}:{}", location.line())
    });
    CAUGHT.with_borrow_mut(|caught| {
        caught.get_or_insert_with(|| format!("{what} ({})", location.unwrap_or_default()));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_panic_is_the_one_that_is_told() {
        let (result, caught) = watch(|| {
            panic::catch_unwind(|| panic!("first")).unwrap_err();
            panic!("second");
        });
        assert_eq!(result, None::<()>);
        assert!(caught.unwrap().starts_with("first ("));
        assert_eq!(watch(|| 7), (Some(7), None));
    }
}
