//! An interrupted run continues from its results.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Printed, Program};

/// More than are done when the first results are read.
const MANY: &str = "run --schedules 100000000 --threads 1 --allow-unreached --out out";

const FILE: &str = "out/run-core-0-0of1.json";

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let program = Program::new();
    let child =
        program.command(MANY).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    // It is written when the run begins, and the signal is heard from then on.
    let begun = program.folder().join(FILE);
    while !begun.exists() {
        thread::sleep(Duration::from_millis(1));
    }
    kill_process(pid, Signal::INT).unwrap();
    let printed = Printed::new(&child.wait_with_output().unwrap());
    assert_eq!(printed.code, Some(130), "{}", printed.err);
    assert!(printed.err.contains("--resume continues"), "{}", printed.err);

    let before = program.json(FILE);
    let done = before["tally"]["schedules"].as_u64().unwrap();
    assert_eq!(before["complete"], false);
    // As much again, and the same as without an interruption.
    let all = done + 1000;
    let shorten = |value: &serde_json::Value| {
        let mut value = value.clone();
        value["plan"]["schedules"] = all.into();
        value
    };
    std::fs::write(program.folder().join(FILE), shorten(&before).to_string()).unwrap();
    program.ends_with(0, &format!("run --schedules {all} --allow-unreached --out out --resume"));
    program.ends_with(0, &format!("run --schedules {all} --allow-unreached --out whole"));
    let whole = program.json("whole/run-core-0-0of1.json");
    assert_eq!(program.json(FILE)["tally"], whole["tally"]);

    let other = format!("run --schedules {} --allow-unreached --out out --resume", all + 1);
    let printed = program.ends_with(6, &other);
    assert!(printed.err.contains("is of another run"), "{}", printed.err);
}
