//! The transport of the search: two queues of messages in flight, shared between states.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use watertight_core::testkit::Item;

use super::shards::{Print, print};

/// An item with its fingerprint; states share it.
#[derive(Clone, Debug)]
pub(super) struct Parcel(Arc<(Item, Print)>);

impl Parcel {
    pub(super) fn new(item: Item) -> Self {
        let print = print(&item);
        Self(Arc::new((item, print)))
    }

    pub(super) fn print(&self) -> Print {
        self.0.1
    }

    pub(super) fn item(&self) -> &Item {
        &self.0.0
    }
}

impl Hash for Parcel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.print().hash(state);
    }
}

/// The items in flight to an end, in order.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Pipe {
    parcels: VecDeque<Parcel>,
}

impl Pipe {
    pub(super) fn push(&mut self, parcel: Parcel) {
        self.parcels.push_back(parcel);
    }

    pub(super) fn pop(&mut self) -> Option<Parcel> {
        self.parcels.pop_front()
    }

    pub(super) fn front(&self) -> Option<&Item> {
        self.parcels.front().map(Parcel::item)
    }

    pub(super) fn len(&self) -> usize {
        self.parcels.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.parcels = VecDeque::new();
    }
}
