//! Routes from a client to a target: direct, and through each kind of tunnel.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::socket::{Acceptor, Address, Family};
use watertight::Forward;

/// Conversations at a time on one route.
pub(crate) const LANES: usize = 16;

/// A client's address and the target behind it. One conversation at a time uses it, so that the
/// connection that the target accepts is that of the client.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) connect: Address,
    pub(crate) accept: Acceptor,
    /// Ends with the lane.
    pub(crate) _forward: Option<Forward>,
}

pub(crate) type Opening = Pin<Box<dyn Future<Output = Lane> + Send>>;

/// What opens a lane.
pub(crate) type Opener = Box<dyn Fn() -> Opening + Send + Sync>;

/// A route from clients to targets.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    /// Of the client's end and of the target's.
    pub(crate) families: [Family; 2],
    /// Whether the end of one direction leaves the other one open.
    pub(crate) half_closes: bool,
    /// Whether it goes through a session in the base dialect.
    pub(crate) is_base: bool,
    /// Whether an end is remotedialer's own program.
    pub(crate) is_go: bool,
    open: Option<Opener>,
    idle: Mutex<Vec<Lane>>,
    lanes: Semaphore,
}

/// A lane in use.
pub(crate) struct Taken<'a> {
    route: &'a Route,
    lane: Option<Lane>,
    _permit: SemaphorePermit<'a>,
}

impl Route {
    /// A route whose lanes are opened when they are needed.
    pub(crate) fn new(name: &'static str, families: [Family; 2], open: Opener) -> Self {
        Self {
            name,
            families,
            half_closes: true,
            is_base: false,
            is_go: false,
            open: Some(open),
            idle: Mutex::default(),
            lanes: Semaphore::new(LANES),
        }
    }

    /// A route in the base dialect.
    pub(crate) fn base(name: &'static str, open: Opener) -> Self {
        let route = Self::new(name, [Family::Tcp; 2], open);
        Self { half_closes: false, is_base: true, ..route }
    }

    /// A route through a program that needs its lanes before it starts.
    pub(crate) fn of_lanes(name: &'static str, lanes: Vec<Lane>) -> Self {
        Self {
            name,
            families: [Family::Tcp; 2],
            half_closes: false,
            is_base: true,
            is_go: true,
            open: None,
            lanes: Semaphore::new(lanes.len()),
            idle: Mutex::new(lanes),
        }
    }

    /// Whether a lane that a late connection may reach can be replaced.
    pub(crate) const fn can_retire_lanes(&self) -> bool {
        self.open.is_some()
    }

    /// A lane, once one is idle.
    pub(crate) async fn lane(&self) -> Taken<'_> {
        let permit = self.lanes.acquire().await.unwrap();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let lane = match (idle, &self.open) {
            (Some(lane), _) => lane,
            (None, Some(open)) => open().await,
            (None, None) => unreachable!("there is a permit for each lane"),
        };
        Taken { route: self, lane: Some(lane), _permit: permit }
    }
}

impl Taken<'_> {
    pub(crate) const fn lane(&self) -> &Lane {
        self.lane.as_ref().expect("taken until dropped")
    }

    /// Closes the lane instead of giving it back.
    pub(crate) fn retire(mut self) {
        self.lane = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            self.route.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        }
    }
}
