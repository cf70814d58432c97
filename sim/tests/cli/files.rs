//! Files and arguments: errors in words, results for machines.

use std::fs;

use crate::program::Program;

#[test]
fn what_is_no_schedule_is_refused_in_words() {
    let program = Program::new();
    let cases = [
        ("replay nothing.json", "nothing.json: No such file"),
        ("replay broken.json", "broken.json: no schedule: "),
        ("replay newer.json", "newer.json: a schedule of version 99"),
        ("replay nobody.json", "nobody.json: 0 servers"),
        ("replay endless.json", "endless.json: link.portion is 0: 1 to 1048576 is possible"),
        ("merge broken.json", "broken.json: no results of a run: "),
        ("report run missing.json", "missing.json: No such file"),
    ];
    fs::write(program.folder().join("broken.json"), "{").unwrap();
    program.ends_with(1, "run --seeded-bug never_released --schedules 50 --out out");
    let files = fs::read_dir(program.folder().join("out")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let shrunk = paths.into_iter().find(|path| path.to_string_lossy().ends_with(".shrunk.json"));
    let text = fs::read_to_string(shrunk.unwrap()).unwrap();
    let version = format!("\"version\": {}", watertight_sim::schedule::VERSION);
    let newer = text.replace(&version, "\"version\": 99, \"novelty\": true");
    fs::write(program.folder().join("newer.json"), newer).unwrap();
    let nobody = text.replace("\"servers\": 1", "\"servers\": 0");
    fs::write(program.folder().join("nobody.json"), nobody).unwrap();
    let endless = text.replace("\"portion\": 16384", "\"portion\": 0");
    fs::write(program.folder().join("endless.json"), endless).unwrap();
    for (arguments, words) in cases {
        let printed = program.ends_with(6, arguments);
        assert!(printed.err.contains(words), "{arguments}: {}", printed.err);
    }
}

#[test]
fn wrong_arguments_are_refused_in_words() {
    let program = Program::new();
    let cases = [
        ("run --shard 3/3", "there is no shard 3 of 3"),
        ("run --shard three", "a shard is INDEX/COUNT"),
        ("run --world moon", "possible values: core, turmoil"),
        ("run --time soon", "invalid value 'soon'"),
        ("run --threads 0", "0 is not in 1..=1024"),
        ("run --schedules 0", "0 is not in 1..="),
        ("run --seed 9223372036854775808", "a first seed is a number below 2^63"),
        ("meta --seed=", "a first seed is a number below 2^63"),
    ];
    for (arguments, words) in cases {
        let printed = program.ends_with(2, arguments);
        assert!(printed.err.contains(words), "{arguments}: {}", printed.err);
    }
}

#[test]
fn a_seed_is_played_in_the_world_of_its_seeded_bug() {
    let program = Program::new();
    let printed = program.run("replay 5 --seeded-bug login_waits");
    assert!(printed.out.starts_with("seed 5 in the turmoil world\n"), "{}", printed.out);
    let printed = program.ends_with(6, "replay 5 --seeded-bug login_waits --world core");
    let words = "the seeded bug login_waits is of the turmoil world, not of the core world";
    assert!(printed.err.contains(words), "{}", printed.err);
}

#[test]
fn nobody_has_to_read_to_the_end() {
    let program = Program::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program.command("replay 5 --trace").stdout(writer).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), printed.as_str()), (Some(141), ""));
}

#[test]
fn results_are_written_for_machines() {
    let program = Program::new();
    let printed = program.ends_with(0, "run --schedules 40 --allow-unreached --json --out out");
    let printed: serde_json::Value = serde_json::from_str(&printed.out).unwrap();
    assert_eq!(printed["tally"]["schedules"], 40);
    assert_eq!(printed["failures"], serde_json::json!([]));
    assert_eq!(program.json("out/run-core-0-0of1.json"), printed);
}

#[test]
fn any_text_is_a_seed() {
    let program = Program::new();
    let run = |seed: &str| {
        let printed = program
            .ends_with(0, &format!("run --schedules 5 --allow-unreached --json --seed {seed}"));
        let results: serde_json::Value = serde_json::from_str(&printed.out).unwrap();
        results["plan"]["first_seed"].as_u64().unwrap()
    };
    assert_eq!(run("17"), 17);
    assert_eq!(run("3f2c9ab"), run("3f2c9ab"));
    assert_ne!(run("3f2c9ab"), run("3f2c9ac"));
}
