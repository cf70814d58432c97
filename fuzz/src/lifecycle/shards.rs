//! Fingerprints, and maps by them that several threads fill.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A fingerprint of 64 bits: two of ten million states have the same one in one of three hundred
/// thousand runs.
pub(super) type Print = u64;

/// The same in every run.
pub(super) fn print(value: &impl Hash) -> Print {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

const SHARDS: usize = 64;

type Map<V> = HashMap<Print, V, BuildHasherDefault<AsItIs>>;

/// Parts of a map, each with its own lock.
#[derive(Debug)]
struct Shards<S>([Mutex<S>; SHARDS]);

impl<S: Default> Default for Shards<S> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl<S> Shards<S> {
    fn of(&self, print: Print) -> MutexGuard<'_, S> {
        // Within a part, entries are distinguished by the other bits.
        let place = usize::try_from(print >> 32).unwrap_or(0) % SHARDS;
        let shard = self.0.get(place).or(self.0.first());
        let Some(shard) = shard else { unreachable!("there are shards") };
        lock(shard)
    }
}

/// States, each with one from which a step leads to it.
#[derive(Debug, Default)]
pub(super) struct Visited(Shards<Map<Print>>);

impl Visited {
    /// Whether it was not there.
    pub(super) fn insert(&self, print: Print, from: Print) -> bool {
        let mut shard = self.0.of(print);
        let before = shard.len();
        shard.entry(print).or_insert(from);
        shard.len() > before
    }

    pub(super) fn from(&self, print: Print) -> Option<Print> {
        self.0.of(print).get(&print).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.0.0.iter().map(|shard| lock(shard).len()).sum()
    }
}

/// Remembers what was used lately.
#[derive(Debug)]
pub(super) struct Cache<V> {
    shards: Shards<Generations<V>>,
    /// When so many are young, the old ones are forgotten.
    most: usize,
}

/// Entries that are used become young again.
#[derive(Debug)]
struct Generations<V> {
    young: Map<V>,
    old: Map<V>,
}

impl<V> Default for Generations<V> {
    fn default() -> Self {
        Self { young: Map::default(), old: Map::default() }
    }
}

impl<V: Clone> Cache<V> {
    pub(super) fn new(most: usize) -> Self {
        Self { shards: Shards::default(), most: most / SHARDS }
    }

    pub(super) fn get(&self, print: Print) -> Option<V> {
        let mut shard = self.shards.of(print);
        if let Some(value) = shard.young.get(&print) {
            return Some(value.clone());
        }
        let value = shard.old.remove(&print)?;
        shard.young.insert(print, value.clone());
        Some(value)
    }

    pub(super) fn insert(&self, print: Print, value: V) {
        let mut shard = self.shards.of(print);
        if shard.young.len() >= self.most {
            shard.old = mem::take(&mut shard.young);
        }
        shard.young.insert(print, value);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fingerprint is as good as its hash.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }
}
