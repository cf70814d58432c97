use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use watertight_sim::World;

use crate::cli::MetaArgs;
use crate::exit::{Ending, Exit};

/// Runs seeds twice, in two processes, and compares what they tell, byte for byte.
pub(crate) fn meta(arguments: &MetaArgs) -> Ending {
    let worlds = arguments.world.map_or_else(|| World::ALL.to_vec(), |world| vec![world]);
    for world in worlds {
        let mut pair = [storyteller(arguments, world)?, storyteller(arguments, world)?];
        let outs = [pair[0].stdout.take(), pair[1].stdout.take()];
        let [Some(first), Some(second)] = outs else { unreachable!("both were piped") };
        let difference = compare(first, second);
        // Their outputs are closed by now: one that still tells has nobody to tell it to.
        let mut well = true;
        for child in &mut pair {
            well &= child.wait()?.success();
        }
        match difference? {
            Comparison::Same { seeds, bytes } if seeds == arguments.schedules && well => {
                println!("{world}: {seeds} seeds, the same {bytes} bytes twice");
            }
            Comparison::Same { seeds, .. } => {
                println!("{world}: only {seeds} of {} seeds came to an end", arguments.schedules);
                return Ok(Exit::Undetermined);
            }
            Comparison::Differ { seed, first, second } => {
                println!(
                    "{world}: {seed} differs:\n  {}\n  {}",
                    first.trim_end(),
                    second.trim_end()
                );
                return Ok(Exit::Undetermined);
            }
        }
    }
    Ok(Exit::Fine)
}

enum Comparison {
    Same { seeds: u64, bytes: u64 },
    Differ { seed: String, first: String, second: String },
}

fn storyteller(arguments: &MetaArgs, world: World) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["story", "--world", world.name()])
        .args(["--schedules", &arguments.schedules.to_string()])
        .args(["--seed", &arguments.seed.0.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
}

fn compare(first: ChildStdout, second: ChildStdout) -> io::Result<Comparison> {
    let (mut first, mut second) = (BufReader::new(first), BufReader::new(second));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    let (mut seed, mut seeds, mut bytes) = (String::new(), 0, 0);
    loop {
        a.clear();
        b.clear();
        first.read_until(b'\n', &mut a)?;
        second.read_until(b'\n', &mut b)?;
        let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
        if a != b {
            return Ok(Comparison::Differ { seed, first: text(&a), second: text(&b) });
        }
        if a.is_empty() {
            return Ok(Comparison::Same { seeds, bytes });
        }
        if a.starts_with(b"== ") {
            seed = text(&a).trim_matches(['=', ' ', '\n']).to_string();
            seeds += 1;
        }
        bytes += a.len() as u64;
    }
}
