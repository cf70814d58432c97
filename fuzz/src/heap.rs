//! What an input may make us take from the heap.

pub(crate) use watertight_sim::Heap;

/// Runs a piece and returns the most bytes that it had taken from the heap at any one time.
pub(crate) fn most<T>(piece: impl FnOnce() -> T) -> (u64, T) {
    let mut heap = Heap::default();
    let result = heap.count(piece);
    (heap.most().unsigned_abs(), result)
}

/// Runs a piece and returns how many more bytes it has taken from the heap than it gave back.
pub(crate) fn kept(piece: impl FnOnce()) -> i64 {
    let mut heap = Heap::default();
    heap.count(piece);
    heap.held()
}
