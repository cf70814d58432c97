//! See [`watertight_fuzz::session_hostile`].

#![cfg_attr(fuzzing, no_main)]

watertight_fuzz::target!(session_hostile);
