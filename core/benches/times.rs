//! How long the work of the core takes: `cargo bench -p watertight-core --bench times`.
//!
//! On a noisy machine, `--bench costs` is more exact.

mod work;

use divan::Bencher;
use work::Work;

fn main() {
    divan::main();
}

#[divan::bench(args = work::ALL)]
fn times(bencher: Bencher<'_, '_>, work: &Work) {
    let step = (work.begin)();
    bencher.bench_local(step);
}
