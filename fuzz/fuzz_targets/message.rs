//! See [`watertight_fuzz::message`].

#![cfg_attr(fuzzing, no_main)]

watertight_fuzz::target!(message);
