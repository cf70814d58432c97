//! See [`watertight_fuzz::registry`].

#![cfg_attr(fuzzing, no_main)]

watertight_fuzz::target!(registry);
