//! The turmoil world plays schedules as they are written, finds nothing wrong with the product, and records
//! the same trace each time.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use watertight_sim::schedule::{
    Action, Agent, AgentKind, Answer, BrokenFrames, Cast, Host, HostileMessage, Hosts, Knobs,
    Limits, LinkKnobs, Opening, Step, StreamId, TargetEnd, TargetPlan, TargetReads, TargetSide,
    TargetWrites, Timing, TrafficEnd, Transport, VERSION,
};
use watertight_sim::{Outcome, Schedule, Situation, Situations, Trace, World};

const S0: StreamId = StreamId(0);
const AGENT: Host = Host::Agent(0);
const SERVER: Host = Host::Server(0);

fn agent(kind: AgentKind, transport: Transport, targets: TargetSide) -> Agent {
    Agent { home: 0, kind, transport, targets }
}

fn watertight() -> Agent {
    agent(AgentKind::Watertight, Transport::WebSocket, TargetSide::Handler)
}

fn knobs() -> Knobs {
    let limits = Limits {
        max_data: 2000,
        max_connections: 64,
        max_dials: 32,
        max_queued_control: 100,
        initial_window: 3000,
        max_window: 16_000,
        window_budget: 16_000,
        send_buffer: 20_000,
        send_budget: 20_000,
        pause_above: 3000,
        resume_below: 1000,
        unread_cap: 100_000,
        unread_budget: 300_000,
    };
    let timing = Timing {
        ping_interval: 50,
        silence: 250,
        agent_silence: 0,
        stall: 250,
        dial: 150,
        accept: 120,
        linger: 100,
        reconcile: 100,
        reconnect: 30,
        handshake: 150,
    };
    let link =
        LinkKnobs { min_latency: 0, max_latency: 5, portion: 1500, capacity: 65_536, rate: 0 };
    Knobs { server: limits.clone(), agent: limits, timing, link, hosts: Hosts::USUAL }
}

fn schedule(servers: u8, agents: Vec<Agent>, steps: Vec<(u32, Action)>) -> Schedule {
    let steps = steps.into_iter().map(|(after, action)| Step { after, action }).collect();
    let cast = Cast { servers, agents };
    Schedule {
        version: VERSION,
        seed: 7,
        cast,
        knobs: knobs(),
        steps,
        traffic_end: TrafficEnd::Finish,
    }
}

fn dial(from: Host, target: TargetPlan) -> Action {
    Action::Dial { stream: S0, from, to: 0, target, within: 150 }
}

fn run(schedule: &Schedule) -> (Outcome, String) {
    let trace = Trace::on();
    let outcome = World::Turmoil.run(schedule, &trace);
    let traces: Vec<_> = trace.take().iter().map(ToString::to_string).collect();
    (outcome, traces.join("\n"))
}

/// Runs it without a violation, and demands that it got into these situations.
fn reaches(schedule: &Schedule, situations: &[Situation]) -> String {
    let (outcome, traces) = run(schedule);
    assert_eq!(outcome.violation, None, "{traces}");
    for situation in situations {
        assert!(outcome.seen.has(*situation), "{situation:?}\n{traces}");
    }
    traces
}

#[test]
fn an_echo_is_complete_on_every_transport_and_with_every_kind_of_target() {
    for transport in [Transport::WebSocket, Transport::ByteStream] {
        for targets in [TargetSide::Handler, TargetSide::Dialer] {
            for from in [SERVER, AGENT] {
                let agents = vec![agent(AgentKind::Watertight, transport, targets)];
                let steps = vec![
                    (60, dial(from, TargetPlan::ECHO)),
                    (0, Action::ReadAll { stream: S0 }),
                    (0, Action::Write { stream: S0, bytes: 30_000 }),
                    (20, Action::Finish { stream: S0 }),
                ];
                let traces = reaches(
                    &schedule(1, agents, steps),
                    &[Situation::Finished, Situation::AnswerAfterFinish, Situation::MuchMoved],
                );
                let whole = "s0: StreamEnd { written: 30000, read: 30000, finished: true, let_go: \
                             false, eof: true, broken: None, owed: None }";
                assert!(traces.contains(whole), "{traces}");
            }
        }
    }
}

#[test]
fn a_peer_server_leads_to_the_agents_of_the_other_one() {
    let mut far = watertight();
    far.home = 1;
    let steps =
        vec![(100, dial(SERVER, TargetPlan::ECHO)), (0, Action::Write { stream: S0, bytes: 9 })];
    reaches(&schedule(2, vec![far], steps), &[Situation::DialThroughPeer]);
}

#[test]
fn what_is_lost_ends_in_time() {
    let partition = Action::Partition { a: AGENT, b: SERVER };
    let steps = vec![(60, dial(SERVER, TargetPlan::ECHO)), (0, partition), (600, Action::Idle)];
    reaches(
        &schedule(1, vec![watertight()], steps),
        &[Situation::PartitionWhileDialling, Situation::DialTimeout, Situation::SessionSilent],
    );
}

#[test]
fn a_crash_takes_its_streams_with_it_and_nothing_else() {
    for (host, situation) in [
        (SERVER, Situation::ServerCrashDuringTransfer),
        (AGENT, Situation::AgentCrashDuringTransfer),
    ] {
        let pours = TargetPlan {
            answer: Answer::Accept,
            reads: TargetReads::All,
            writes: TargetWrites::Pour(20_000),
            end: TargetEnd::Never,
        };
        let steps = vec![
            (60, dial(SERVER, pours)),
            (0, Action::Read { stream: S0, bytes: 5000 }),
            (60, Action::Crash { host }),
            (50, Action::Bounce { host }),
        ];
        reaches(&schedule(1, vec![watertight()], steps), &[situation]);
    }
}

#[test]
fn garbage_costs_its_sender_the_session_and_nobody_else() {
    let hostile = AgentKind::Hostile { base: false, introduces_itself: true };
    for transport in [Transport::WebSocket, Transport::ByteStream] {
        let agents = vec![watertight(), agent(hostile, transport, TargetSide::Handler)];
        let send = |message| Action::Send { agent: 1, message };
        let steps = vec![
            (60, dial(SERVER, TargetPlan::ECHO)),
            (0, Action::Write { stream: S0, bytes: 500 }),
            (0, send(HostileMessage::Raw { bytes: vec![0xff; 20] })),
        ];
        reaches(
            &schedule(1, agents, steps),
            &[Situation::HostileGarbage, Situation::SessionPeerMisbehaved],
        );
    }
}

const BROKEN: [BrokenFrames; 7] = [
    BrokenFrames::Opcode,
    BrokenFrames::ReservedBits,
    BrokenFrames::Length,
    BrokenFrames::Unfinished,
    BrokenFrames::Fragments,
    BrokenFrames::LongControl,
    BrokenFrames::Masked,
];

/// Unauthenticated remotes connect to a server with few handshakes, and an agent comes back in the middle of
/// it.
fn many_sockets(transport: Transport, opening: Opening) -> Schedule {
    let unauthenticated = Action::UnauthenticatedConnect {
        server: 0,
        sockets: 20,
        transport,
        opening,
        leave_after: None,
        again_for: 0,
        hold_on: false,
    };
    let steps = vec![
        (60, unauthenticated),
        (20, Action::Disconnect { agent: 0 }),
        (300, dial(SERVER, TargetPlan::ECHO)),
        (0, Action::Write { stream: S0, bytes: 500 }),
    ];
    let mut schedule = schedule(1, vec![watertight()], steps);
    (schedule.knobs.hosts.max_handshakes, schedule.knobs.hosts.unauthenticated_addresses) = (3, 1);
    schedule
}

#[test]
fn unauthenticated_remotes_are_closed_in_time_and_keep_no_agent_out() {
    let garbage = Opening::Garbage { bytes: b"HELO\r\n\r\n".to_vec() };
    let part = Opening::Part { bytes: 30 };
    for transport in [Transport::WebSocket, Transport::ByteStream] {
        let crowded = [Situation::UnauthenticatedEvicted, Situation::AdmittedWhenFull];
        let silent = many_sockets(transport, Opening::Silence);
        reaches(&silent, &[Situation::UnauthenticatedSilent, Situation::UnauthenticatedEvicted]);
        reaches(&many_sockets(transport, part.clone()), &crowded);
        reaches(&many_sockets(transport, part.clone()), &[Situation::UnauthenticatedHalf]);
        reaches(&many_sockets(transport, garbage.clone()), &[Situation::UnauthenticatedGarbage]);
        reaches(&many_sockets(transport, Opening::Wrong), &[Situation::UnauthenticatedRefused]);
        for frames in BROKEN {
            let mut broken = many_sockets(transport, Opening::Frames { frames: frames.clone() });
            broken.steps.push(Step { after: 1000, action: Action::Idle });
            reaches(&broken, &[Situation::UnauthenticatedFrames]);
        }
    }
}

#[test]
fn an_agent_finds_its_server_again_whatever_was_in_its_place() {
    let garbage = Opening::Garbage { bytes: b"220 ready\r\n\r\n".to_vec() };
    let broken = BROKEN.map(|frames| (Opening::Frames { frames }, Situation::ImpostorFrames));
    let openings = [
        (Opening::Silence, Situation::ImpostorSilent),
        (Opening::Part { bytes: 5 }, Situation::ImpostorWrong),
        (garbage, Situation::ImpostorWrong),
        (Opening::Wrong, Situation::ImpostorWrong),
    ];
    for transport in [Transport::WebSocket, Transport::ByteStream] {
        for (opening, situation) in openings.iter().chain(&broken) {
            let opening = opening.clone();
            let agents = vec![agent(AgentKind::Watertight, transport, TargetSide::Handler)];
            let steps = vec![
                (60, Action::Impersonate { server: 0, opening, within: 900 }),
                (0, Action::Disconnect { agent: 0 }),
                (1300, dial(SERVER, TargetPlan::ECHO)),
                (0, Action::Write { stream: S0, bytes: 500 }),
            ];
            reaches(&schedule(1, agents, steps), &[*situation]);
        }
    }
}

#[test]
fn generated_schedules_show_nothing_wrong_and_get_around() {
    let mut seen = Situations::default();
    for seed in 0..400 {
        let schedule = Schedule::generate(seed, World::Turmoil);
        let outcome = World::Turmoil.run(&schedule, &Trace::off());
        assert_eq!(outcome.violation, None, "seed {seed}");
        seen.absorb(outcome.seen);
    }
    let reached = Situation::of(World::Turmoil).filter(|situation| seen.has(*situation)).count();
    let all = Situation::of(World::Turmoil).count();
    assert!(reached * 10 >= all * 9, "{reached} of {all}");
}

/// tokio drops the tasks of a runtime by their numbers, which it gives out once in a program.
#[test]
fn a_process_dies_the_same_whatever_has_run_before_it() {
    for moment in 1..30 {
        let steps = vec![(moment, Action::Crash { host: SERVER }), (60, Action::Idle)];
        let schedule = schedule(1, vec![watertight(); 4], steps);
        let (_, traces) = run(&schedule);
        for shift in 1..4 {
            give_out_task_ids(shift);
            assert_eq!(run(&schedule).1, traces, "a crash after {moment} ms has two traces");
        }
    }
}

fn give_out_task_ids(count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..count {
        runtime.block_on(runtime.spawn(async {})).unwrap();
    }
}

#[test]
fn a_schedule_has_one_trace_which_changes_nothing() {
    for seed in 0..40 {
        let schedule = Schedule::generate(seed, World::Turmoil);
        let (outcome, traces) = run(&schedule);
        let (again, same) = run(&schedule);
        for (line, other) in traces.lines().zip(same.lines()) {
            assert_eq!(line, other, "seed {seed} has two traces");
        }
        assert_eq!(traces.len(), same.len(), "seed {seed} has two traces");
        let untold = World::Turmoil.run(&schedule, &Trace::off());
        for other in [again, untold] {
            assert_eq!(outcome.violation, other.violation, "seed {seed}");
            assert_eq!(outcome.seen, other.seen, "seed {seed}");
            assert_eq!(outcome.virtual_time, other.virtual_time, "seed {seed}");
        }
    }
}
