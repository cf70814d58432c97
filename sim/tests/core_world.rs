//! The core world: schedules whose outcome is known, seeds without a violation, the same trace twice.

use watertight_sim::schedule::{
    Action, Agent, AgentKind, Answer, Cast, Host, HostileMessage, Hosts, Knobs, Limits, LinkKnobs,
    Step, StreamId, TargetEnd, TargetPlan, TargetReads, TargetSide, TargetWrites, Timing,
    TrafficEnd, Transport, VERSION,
};
use watertight_sim::{Outcome, Schedule, Situation, Situations, Trace, World};

const SERVER: Host = Host::Server(0);
const AGENT: Host = Host::Agent(0);
const STREAM: StreamId = StreamId(0);

const LIMITS: Limits = Limits {
    max_data: 1024,
    max_connections: 8,
    max_dials: 4,
    max_queued_control: 100,
    initial_window: 2048,
    max_window: 8192,
    window_budget: 16_384,
    send_buffer: 2000,
    send_budget: 8000,
    pause_above: 1000,
    resume_below: 200,
    unread_cap: 100_000,
    unread_budget: 200_000,
};

const TIMING: Timing = Timing {
    ping_interval: 50,
    silence: 250,
    agent_silence: 0,
    stall: 250,
    dial: 100,
    accept: 100,
    linger: 100,
    reconcile: 400,
    reconnect: 40,
    handshake: 100,
};

fn schedule(kinds: &[AgentKind], steps: Vec<(u32, Action)>) -> Schedule {
    let agents = kinds.iter().map(|kind| Agent {
        home: 0,
        kind: *kind,
        transport: Transport::WebSocket,
        targets: TargetSide::Handler,
    });
    let link = LinkKnobs { min_latency: 1, max_latency: 4, portion: 700, capacity: 4096, rate: 0 };
    Schedule {
        version: VERSION,
        seed: 1,
        cast: Cast { servers: 1, agents: agents.collect() },
        knobs: Knobs { server: LIMITS, agent: LIMITS, timing: TIMING, link, hosts: Hosts::USUAL },
        steps: steps.into_iter().map(|(after, action)| Step { after, action }).collect(),
        traffic_end: TrafficEnd::Finish,
    }
}

fn dial(stream: StreamId, from: Host, target: TargetPlan) -> Action {
    Action::Dial { stream, from, to: 0, target, within: 100 }
}

/// A dial of an echo that is written to and finished.
fn exchange(stream: StreamId, from: Host, bytes: u32) -> Vec<(u32, Action)> {
    vec![
        (20, dial(stream, from, TargetPlan::ECHO)),
        (0, Action::Write { stream, bytes }),
        (0, Action::ReadAll { stream }),
        (0, Action::Finish { stream }),
    ]
}

#[track_caller]
fn run(schedule: &Schedule) -> Outcome {
    let outcome = World::Core.run(schedule, &Trace::off());
    assert_eq!(outcome.violation, None);
    outcome
}

#[track_caller]
fn assert_reached(outcome: &Outcome, situations: &[Situation]) {
    for situation in situations {
        assert!(outcome.seen.has(*situation), "{situation:?} was not reached");
    }
}

#[test]
fn what_is_written_comes_back_whoever_dials() {
    let mut steps = exchange(STREAM, SERVER, 30_000);
    steps.extend(exchange(StreamId(1), AGENT, 30_000));
    let outcome = run(&schedule(&[AgentKind::Watertight], steps));
    let reached = [
        Situation::BothWaysComplete,
        Situation::MuchMoved,
        Situation::CreditUsedUp,
        Situation::WriteBlocked,
        Situation::WindowGrew,
    ];
    assert_reached(&outcome, &reached);
    assert!(!outcome.seen.has(Situation::Reconnected));
}

#[test]
fn a_remotedialer_end_echoes_as_well() {
    let steps = exchange(STREAM, SERVER, 30_000);
    let outcome = run(&schedule(&[AgentKind::Remotedialer], steps));
    assert_reached(&outcome, &[Situation::WriteBlocked, Situation::LingerTimeout]);
}

#[test]
fn a_partition_is_noticed_and_gets_over() {
    let mut steps = exchange(STREAM, SERVER, 60_000);
    steps.push((10, Action::Partition { a: SERVER, b: AGENT }));
    steps.push((600, Action::Repair { a: SERVER, b: AGENT }));
    let outcome = run(&schedule(&[AgentKind::Watertight], steps));
    let reached = [
        Situation::PartitionDuringTransfer,
        Situation::SessionSilent,
        Situation::SessionEnded,
        Situation::Reconnected,
    ];
    assert_reached(&outcome, &reached);
}

#[test]
fn a_held_link_loses_nothing() {
    let mut steps = exchange(STREAM, SERVER, 60_000);
    steps.push((10, Action::Hold { a: SERVER, b: AGENT }));
    steps.push((100, Action::Release { a: SERVER, b: AGENT }));
    let outcome = run(&schedule(&[AgentKind::Watertight], steps));
    assert_reached(&outcome, &[Situation::HoldDuringTransfer, Situation::BothWaysComplete]);
    assert!(!outcome.seen.has(Situation::Reconnected));
}

#[test]
fn a_newer_process_takes_over() {
    let mut steps = exchange(STREAM, SERVER, 60_000);
    steps.push((10, Action::Replace { agent: 0 }));
    let outcome = run(&schedule(&[AgentKind::Watertight], steps));
    assert_reached(&outcome, &[Situation::ReplacedDuringTransfer, Situation::Reconnected]);
}

#[test]
fn hosts_crash_shut_down_and_come_back() {
    let mut steps = exchange(STREAM, SERVER, 60_000);
    steps.push((10, Action::Crash { host: AGENT }));
    steps.push((10, Action::Bounce { host: AGENT }));
    steps.extend(exchange(StreamId(1), AGENT, 60_000));
    steps.push((10, Action::Bounce { host: SERVER }));
    steps.push((40, Action::Idle));
    steps.extend(exchange(StreamId(2), SERVER, 60_000));
    steps.push((10, Action::Restart { host: SERVER, within: 20 }));
    let outcome = run(&schedule(&[AgentKind::Watertight], steps));
    let reached = [
        Situation::AgentCrashDuringTransfer,
        Situation::ServerCrashDuringTransfer,
        Situation::RestartDuringTransfer,
        Situation::SessionDrained,
        Situation::Reconnected,
    ];
    assert_reached(&outcome, &reached);
}

#[test]
fn a_target_that_never_answers_costs_its_dial_alone() {
    let hangs = TargetPlan { answer: Answer::Hang, ..TargetPlan::ECHO };
    let mut steps = vec![(20, dial(STREAM, SERVER, hangs))];
    steps.extend(exchange(StreamId(1), SERVER, 500));
    let outcome = run(&schedule(&[AgentKind::Watertight], steps));
    assert_reached(&outcome, &[Situation::DialTimeout, Situation::BothWaysComplete]);
}

#[test]
fn a_target_that_stops_reading_holds_up_nobody_else() {
    let deaf = TargetPlan {
        answer: Answer::Accept,
        reads: TargetReads::UpTo(10),
        writes: TargetWrites::Pour(10),
        end: TargetEnd::Never,
    };
    let mut steps = vec![(20, dial(STREAM, SERVER, deaf))];
    steps.push((0, Action::Write { stream: STREAM, bytes: 100_000 }));
    steps.extend(exchange(StreamId(1), SERVER, 20_000));
    let outcome = run(&schedule(&[AgentKind::Watertight], steps));
    assert_reached(&outcome, &[Situation::ReaderStopped, Situation::BothWaysComplete]);
}

#[test]
fn garbage_ends_the_session_of_who_says_it() {
    let garbage = HostileMessage::Raw { bytes: vec![0xff; 20] };
    let steps = vec![(50, Action::Send { agent: 0, message: garbage })];
    let outcome =
        run(&schedule(&[AgentKind::Hostile { base: false, introduces_itself: true }], steps));
    assert_reached(&outcome, &[Situation::HostileGarbage, Situation::SessionPeerMisbehaved]);
}

#[test]
fn a_shutdown_in_the_middle_leaves_nothing() {
    let steps = exchange(STREAM, SERVER, 60_000);
    let mut schedule = schedule(&[AgentKind::Watertight, AgentKind::Base], steps);
    for traffic_end in [TrafficEnd::Finish, TrafficEnd::Drop, TrafficEnd::Shutdown] {
        schedule.traffic_end = traffic_end;
        run(&schedule);
    }
}

#[test]
fn seeds_hold_and_reach_what_there_is_to_reach() {
    let mut seen = Situations::default();
    for seed in 0..12_000 {
        let schedule = Schedule::generate(seed, World::Core);
        let outcome = World::Core.run(&schedule, &Trace::off());
        assert_eq!(outcome.violation, None, "seed {seed}");
        seen.absorb(outcome.seen);
    }
    let rare = [Situation::NotListed, Situation::Overrun, Situation::SessionStalled];
    let never: Vec<_> = Situation::of(World::Core)
        .filter(|situation| !seen.has(*situation) && !rare.contains(situation))
        .collect();
    assert!(never.is_empty(), "{never:?} were not reached");
}

#[test]
fn a_schedule_has_one_trace() {
    for seed in 0..300 {
        let schedule = Schedule::generate(seed, World::Core);
        let [first, second] = [(), ()].map(|()| {
            let trace = Trace::on();
            let outcome = World::Core.run(&schedule, &trace);
            (trace.take(), outcome.seen, outcome.virtual_time)
        });
        assert!(!first.0.is_empty());
        assert_eq!(first, second, "seed {seed}");
    }
}
