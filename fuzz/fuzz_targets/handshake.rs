//! See [`watertight_fuzz::handshake`].

#![cfg_attr(fuzzing, no_main)]

watertight_fuzz::target!(handshake);
