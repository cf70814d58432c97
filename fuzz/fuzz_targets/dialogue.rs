//! See [`watertight_fuzz::dialogue`].

#![cfg_attr(fuzzing, no_main)]

watertight_fuzz::target!(dialogue);
