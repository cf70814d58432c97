//! What the fuzz targets demand, of input that strategies draw: weighted, so that it comes deep in a
//! second. More cases than in a plain `cargo test`: set `PROPTEST_CASES`.

mod damaged;
mod framing;
mod message;
mod registry;
