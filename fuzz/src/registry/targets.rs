//! What peers dial through each other.

use watertight_core::registry::{peer_target, split_peer_target};
use watertight_core::wire::Dialect;

use super::DIALECTS;

/// A dial of a peer is refused, or means one client and one target: encoded again, they are the same.
pub(super) fn check(text: &str) {
    for dialect in DIALECTS {
        match split_peer_target(dialect, text) {
            Ok((client_key, target)) => {
                match peer_target(dialect, &client_key, target) {
                    Ok(again) => {
                        assert_eq!(split_peer_target(dialect, &again), Ok((client_key, target)));
                    }
                    // A Go end may dial an invalid target; a watertight one only an empty key.
                    Err(_) => assert!(dialect == Dialect::Base || client_key.is_empty(), "{text}"),
                }
            }
            Err(error) => assert!(!error.to_string().is_empty(), "{error:?} has no words"),
        }
    }
}
