//! Permits that threads take and release concurrently. See `session/interleavings.rs`.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use watertight_core::registry::{RegistryError, RegistryLimits};

use super::auth::Grant;
use super::permits::RateLimit;
use super::sessions::Sessions;
use super::superseded::Takeovers;
use crate::session::interleavings::explore;
use crate::sync::{Mutex, PoisonError};

#[test]
fn a_permit_is_given_back_once_whatever_the_order() {
    explore(|| {
        let limits = RegistryLimits { agents: 1, ..RegistryLimits::default() };
        let sessions = Sessions::new(
            limits,
            None,
            Takeovers::new(Duration::ZERO),
            RateLimit::new(Duration::ZERO),
        );
        let sessions = Arc::new(Mutex::new(sessions));
        let threads = ["a", "b"].map(|key| {
            let sessions = Arc::clone(&sessions);
            thread::spawn(move || {
                let reserve = || {
                    let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
                    sessions.reserve(Grant::new(key), 0)
                };
                // A second permit of the same client takes no capacity.
                let (first, second) = (reserve(), reserve());
                assert!(first.is_err() || second.is_ok(), "{key} has a permit already");
                drop((second, first));
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let permit = sessions.reserve(Grant::new("c"), 0).expect("every permit was given back");
        let full = RegistryError::TooManyAgents { limit: 1 };
        assert_eq!(sessions.reserve(Grant::new("d"), 0).unwrap_err(), full);
        drop(permit);
    });
}
