//! The report of one schedule, with its sequence diagram.

use maud::{Markup, html};
use watertight_sim::{Case, Moment, Outcome};

use super::page::{fact, page as framed};
use super::sequence::sequence;

/// A page for one schedule: what it is, and what came of it.
pub(super) fn page(case: &Case, outcome: &Outcome, moments: &[Moment]) -> Markup {
    let schedule = &case.schedule;
    let body = html! {
        @if !case.about.is_empty() { p { (case.about) } }
        div.facts {
            (fact("world", case.world.name()))
            (fact("seed", &schedule.seed.to_string()))
            (fact("steps", &schedule.steps.len().to_string()))
            (fact("virtual time", &format!("{:?}", outcome.virtual_time)))
        }
        @match &outcome.violation {
            Some(violation) => p.bad { (violation) },
            None => p { "All invariants hold." },
        }
        h2 { "The schedule" }
        table {
            @for agent in schedule.cast.agents.iter().zip(0..) {
                tr {
                    td { "agent" (agent.1) }
                    td {
                        (format!("{:?} on {:?}, at server{}", agent.0.kind, agent.0.transport, agent.0.home))
                    }
                }
            }
            @for step in &schedule.steps {
                tr { td.number { "+" (step.after) " ms" } td { (step.action) } }
            }
            tr { td {} td { "then: " (format!("{:?}", schedule.finale)) } }
        }
        h2 { "What came of it" }
        div.scroll { (sequence(moments, outcome.violation.as_ref())) }
    };
    framed(&format!("watertight-sim: seed {} in the {} world", schedule.seed, case.world), &body)
}
