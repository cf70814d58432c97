//! What an input may make us take from the heap.

/// Runs a piece and returns the most bytes that it had taken from the heap at any one time.
pub(crate) fn most<T>(piece: impl FnOnce() -> T) -> (u64, T) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(piece()));
    match result {
        Some(result) => (info.bytes_max, result),
        None => unreachable!("the piece has run"),
    }
}

/// Runs a piece and returns how many more bytes it has taken from the heap than it gave back.
pub(crate) fn kept(piece: impl FnOnce()) -> i64 {
    allocation_counter::measure(piece).bytes_current
}
