//! The costs of the core's work, counted and not timed, against the known ones.
//!
//! `cargo bench -p watertight-core --bench costs` counts instructions (by valgrind), allocations
//! and the bytes of an idle connection, and fails where there are more of them than
//! `benches/costs.txt` states: an allocation, or a tenth of anything else. Where there are so many
//! fewer, it fails as well: a gain must not be lost again unnoticed. With `-- --accept` it writes
//! that file. Instructions depend on the compiler; a new one may need that.

#![allow(clippy::indexing_slicing, reason = "its input is its own")]

mod work;

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

use work::Work;

/// Steps of a run that is subtracted from the other, and of the other.
const STEPS: [u64; 2] = [200, 1200];

/// A count for each step or connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cost {
    name: String,
    unit: &'static str,
    count: u64,
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["steps", name, steps] => {
            let mut step = (find(name)?.begin)();
            (0..steps.parse()?).for_each(|_: u64| step());
            Ok(ExitCode::SUCCESS)
        }
        [] => {
            let (known, costs) = (std::fs::read_to_string(known_costs())?, measure()?);
            Ok(compare(&known, &costs))
        }
        ["--accept"] => {
            std::fs::write(known_costs(), as_text(&measure()?))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err("usage: cargo bench -p watertight-core --bench costs [-- --accept]".into()),
    }
}

fn known_costs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/costs.txt"))
}

fn find(name: &str) -> Result<Work> {
    let found = work::ALL.into_iter().find(|work| work.name == name);
    found.ok_or_else(|| format!("no work is called {name:?}").into())
}

fn measure() -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for work in work::ALL {
        let count =
            (instructions(work, STEPS[1])? - instructions(work, STEPS[0])?) / (STEPS[1] - STEPS[0]);
        costs.push(Cost { name: work.name.into(), unit: "instructions", count });
        costs.push(Cost { name: work.name.into(), unit: "allocations", count: allocations(work) });
    }
    costs.push(Cost {
        name: "idle_connection_both_ends".into(),
        unit: "bytes",
        count: idle_bytes(),
    });
    Ok(costs)
}

/// Those of a whole process.
fn instructions(work: Work, steps: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(std::env::current_exe()?).args(["steps", work.name, &steps.to_string()]);
    // A copy with `rep movsb` counts every byte: the copies of the benchmark's own byte stream
    // would hide all the rest.
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS");
    let output = valgrind
        .output()
        .map_err(|error| format!("valgrind: {error}; install it with your system's packages"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    match collected {
        Some((_, count)) if output.status.success() => Ok(count.trim().parse()?),
        _ => Err(format!("valgrind failed on {work}: {said}").into()),
    }
}

/// A step's, to the next whole one.
fn allocations(work: Work) -> u64 {
    let mut step = (work.begin)();
    (0..STEPS[0]).for_each(|_| step());
    let counted = allocation_counter::measure(|| (0..STEPS[1]).for_each(|_| step()));
    counted.count_total.div_ceil(STEPS[1])
}

/// Bytes that a connection keeps in the sessions of both ends.
fn idle_bytes() -> u64 {
    let mut connections = 0;
    let counted = allocation_counter::measure(|| {
        let (pair, count) = work::idle_connections();
        connections = count as u64;
        std::mem::forget(pair);
    });
    u64::try_from(counted.bytes_current).unwrap_or(0) / connections
}

fn as_text(costs: &[Cost]) -> String {
    let mut text = String::new();
    for Cost { name, unit, count } in costs {
        writeln!(text, "{name} {unit} {count}").ok();
    }
    text
}

fn compare(known: &str, costs: &[Cost]) -> ExitCode {
    let mut other = Vec::new();
    for Cost { name, unit, count } in costs {
        let before = known.lines().find_map(|line| line.strip_prefix(&format!("{name} {unit} ")));
        let before: Option<u64> = before.and_then(|count| count.parse().ok());
        let shown = before.map_or("new".into(), |before| format!("{before} known"));
        println!("{name:36} {count:>10} {unit:12} ({shown})");
        let is_known = |known: u64| {
            let tolerance = if *unit == "allocations" { 0 } else { known / 10 };
            count.abs_diff(known) <= tolerance
        };
        if !before.is_some_and(is_known) {
            other.push(format!("{name}: {count} {unit}, {shown}"));
        }
    }
    if other.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!(
        "\nnot what is known; if it must be so, say so with `-- --accept`:\n{}",
        other.join("\n")
    );
    ExitCode::FAILURE
}
