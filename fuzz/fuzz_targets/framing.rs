//! See [`watertight_fuzz::framing`].

#![cfg_attr(fuzzing, no_main)]

watertight_fuzz::target!(framing);
