//! One conversation again, from its text.

use crate::conversation::Conversation;
use crate::examine::{Effort, examine};
use crate::report::Report;
use crate::stage::Stage;
use crate::{runtime, say, setting};

#[test]
#[ignore = "plays what DIFFERENTIAL_CONVERSATION says"]
fn replay() {
    let Some(text) = setting("DIFFERENTIAL_CONVERSATION") else { return };
    let conversation: Conversation = text.parse().unwrap();
    assert!(conversation.is_sound(), "mended: {}", conversation.mended());
    let names = setting("DIFFERENTIAL_WAYS");
    let wanted =
        |name: &str| names.as_deref().is_none_or(|names| names.split(',').any(|n| n == name));
    let runs = setting("DIFFERENTIAL_RUNS").map_or(60, |runs| runs.parse().unwrap());
    let effort = Effort { direct: 60, runs, most_direct: 600, shrinking: false };
    let report = Report::new();
    let differences = runtime().block_on(async {
        let stage = Stage::start(names.as_deref().is_none_or(|names| names.contains("go-"))).await;
        let ways: Vec<_> = stage.ways.iter().filter(|way| wanted(way.name)).collect();
        assert!(!ways.is_empty(), "there is no such way");
        let differences = examine(&stage, &ways, &conversation, effort, &report).await;
        stage.end().await;
        differences
    });
    differences.iter().for_each(say);
    say(&report);
    assert!(differences.is_empty());
}
