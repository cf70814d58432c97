//! One conversation again, from its text.

use crate::conversation::Conversation;
use crate::examine::{Effort, examine};
use crate::report::Report;
use crate::world::World;
use crate::{print, runtime, setting};

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
        let world = World::start(names.as_deref().is_none_or(|names| names.contains("go-"))).await;
        let routes: Vec<_> = world.routes.iter().filter(|route| wanted(route.name)).collect();
        assert!(!routes.is_empty(), "there is no such route");
        let differences = examine(&world, &routes, &conversation, effort, &report).await;
        world.end().await;
        differences
    });
    differences.iter().for_each(print);
    print(&report);
    assert!(differences.is_empty());
}
