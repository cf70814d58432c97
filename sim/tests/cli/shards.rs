//! The merged shards of a run equal the run.

use crate::program::Program;

#[test]
fn the_shards_of_a_run_are_the_run() {
    let program = Program::new();
    program.ends_with(0, "run --schedules 2100 --allow-unreached --out whole");
    for index in 0..3 {
        program.ends_with(0, &format!("run --schedules 2100 --shard {index}/3 --out parts"));
    }
    let parts = [0, 1, 2].map(|index| format!("parts/run-core-0-{index}of3.json"));
    let merge = format!("merge --allow-unreached --out merged.json {}", parts.join(" "));
    program.ends_with(0, &merge);
    let (whole, merged) = (program.json("whole/run-core-0-0of1.json"), program.json("merged.json"));
    assert_eq!(merged["tally"], whole["tally"]);
    assert_eq!(merged["complete"], true);

    let printed =
        program.ends_with(6, &format!("merge --allow-unreached {} {}", parts[0], parts[1]));
    assert!(printed.err.contains("shards are missing"), "{}", printed.err);
    let printed = program.ends_with(6, &format!("merge {0} {0}", parts[0]));
    assert!(printed.err.contains("shard 0/3 is there twice"), "{}", printed.err);

    let mut impossible = program.json(&parts[1]);
    impossible["plan"]["shard"]["index"] = 9.into();
    let path = program.folder().join("impossible.json");
    std::fs::write(path, impossible.to_string()).unwrap();
    let printed = program.ends_with(6, &format!("merge {} impossible.json {}", parts[0], parts[2]));
    assert!(printed.err.contains("impossible.json: no results of a run: "), "{}", printed.err);
    assert!(printed.err.contains("there is no shard 9 of 3"), "{}", printed.err);
}
