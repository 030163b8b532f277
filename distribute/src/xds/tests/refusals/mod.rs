//! Random edits, refusals, reconnects and ports that come and go, against a model of Envoy: whenever all has come to
//! rest, what is good is live everywhere, what is bad is blamed and its last good version served, and nothing else
//! is blamed.

mod bounded;
mod envoy;
mod things;
mod words;
mod world;

use proptest::{
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};

use envoy::Words;
use things::{CLUSTERS, Edit, HOSTS, LISTENERS, Quality, ROUTES, Thing};
use world::World;

const CASES: u32 = 1000;

/// The same cases each time, so that a change is judged and not luck; `FLEETGATE_REFUSALS=SEED` plays others.
fn seed() -> RngSeed {
    let given = std::env::var("FLEETGATE_REFUSALS").ok().and_then(|seed| seed.parse().ok());
    RngSeed::Fixed(given.unwrap_or(1))
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: CASES, failure_persistence: None, rng_seed: seed(), ..ProptestConfig::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Edit>),
    Port(usize, u8, bool),
    Read(usize),
    Receive(usize),
    Wake(usize),
    Reconnect(usize, bool),
    /// The Envoys stay, and these edits are made meanwhile.
    RestartServer(Vec<Edit>),
    RestartAll,
    Settle,
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        6 => (0..LISTENERS, 0..HOSTS).prop_map(|(table, host)| Thing::Host(table, host)),
        4 => (0..LISTENERS, 0..HOSTS, 0..ROUTES).prop_map(|(table, host, of)| Thing::Routes(table, host, of)),
        2 => (0..CLUSTERS).prop_map(Thing::Cluster),
        1 => (0..CLUSTERS).prop_map(Thing::Endpoints),
        1 => (0..LISTENERS).prop_map(Thing::Secret),
        1 => (0..LISTENERS).prop_map(Thing::Listener),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let quality = prop_oneof![
        5 => Just(Quality::Good),
        4 => Just(Quality::Bad),
        1 => Just(Quality::Malformed),
        2 => Just(Quality::Gone),
    ];
    (thing(), quality, 0..3u8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(edit(), 1..5).prop_map(Step::Write),
        1 => (0..3usize, 0..3u8, any::<bool>()).prop_map(|(proxy, port, taken)| Step::Port(proxy, port, taken)),
        8 => (0..3usize).prop_map(Step::Read),
        8 => (0..3usize).prop_map(Step::Receive),
        2 => (0..3usize).prop_map(Step::Wake),
        1 => (0..3usize, any::<bool>()).prop_map(|(proxy, fresh)| Step::Reconnect(proxy, fresh)),
        1 => proptest::collection::vec(edit(), 0..3).prop_map(Step::RestartServer),
        1 => Just(Step::RestartAll),
        4 => Just(Step::Settle),
    ]
}

fn words() -> impl Strategy<Value = Words> {
    prop_oneof![
        Just(Words::Nothing),
        Just(Words::Text),
        Just(Words::Position),
        Just(Words::Common),
        Just(Words::Dump),
        any::<u64>().prop_map(Words::Noise),
    ]
}

#[test]
fn what_is_good_is_live_and_what_is_bad_alone_is_blamed() {
    let steps = proptest::collection::vec(step(), 1..60);
    let walks = proptest::collection::vec(any::<bool>(), 1..4);
    let table_size = prop_oneof![Just(1usize), Just(3), Just(128)];
    let played = std::cell::Cell::new(0);
    TestRunner::new(config())
        .run(&(steps, walks, words(), table_size), |(steps, walks, words, table_size)| {
            played.set(played.get() + steps.len());
            play(&steps, World::new(&walks, words, table_size));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    println!("{CASES} cases of {} steps in all", played.get());
}

#[test]
fn a_proxy_that_comes_back_with_tables_is_given_a_host_that_came_back() {
    let (x, y, wide) = (Thing::Host(0, 0), Thing::Host(0, 1), Thing::Host(0, 3));
    let steps = [
        Step::Write(vec![(x, Quality::Bad, 0), (y, Quality::Good, 0), (wide, Quality::Good, 0)]),
        Step::Settle,
        Step::Write(vec![(wide, Quality::Gone, 0)]),
        Step::Write(vec![(wide, Quality::Good, 0)]),
        Step::Reconnect(0, false),
    ];
    play(&steps, World::new(&[true], Words::Nothing, 1));
}

#[test]
fn endpoints_that_a_changed_cluster_waits_for_come_when_their_quarantine_ends() {
    let steps = [
        Step::Receive(1),
        Step::Write(vec![(Thing::Endpoints(0), Quality::Bad, 0)]),
        Step::Receive(1),
        Step::Read(1),
        Step::Receive(0),
        Step::Receive(1),
        Step::Write(vec![(Thing::Endpoints(0), Quality::Good, 0), (Thing::Cluster(1), Quality::Good, 0)]),
    ];
    play(&steps, World::new(&[false, false], Words::Nothing, 1));
}

#[test]
fn what_was_accepted_before_it_was_suspected_is_not_tried_with_what_is_bad() {
    let (one, two) = (Thing::Host(0, 0), Thing::Host(1, 0));
    let steps = [
        Step::Write(vec![(Thing::Listener(1), Quality::Malformed, 0)]),
        Step::Write(vec![(one, Quality::Gone, 0), (two, Quality::Malformed, 0)]),
        Step::Write(vec![(Thing::Secret(0), Quality::Good, 0)]),
        Step::Write(vec![(one, Quality::Bad, 0)]),
    ];
    play(&steps, World::new(&[true, false], Words::Text, 1));
}

#[test]
fn a_table_that_waits_for_another_proxys_trial_goes_out_after_it() {
    let host = |host| Thing::Host(0, host);
    let steps = [
        Step::Write(vec![(host(0), Quality::Good, 0), (host(1), Quality::Good, 0)]),
        Step::RestartServer(vec![(host(3), Quality::Good, 0), (host(0), Quality::Bad, 0)]),
        Step::Receive(1),
        Step::Receive(0),
        Step::Receive(1),
        Step::Receive(0),
    ];
    play(&steps, World::new(&[false, true], Words::Text, 1));
}

#[test]
fn two_that_came_back_and_suspect_different_hosts_come_to_rest() {
    let (good, bad) = (Quality::Good, Quality::Bad);
    let host = Thing::Host;
    let steps = [
        Step::Write(vec![(host(1, 3), good, 0)]),
        Step::RestartServer(vec![(host(1, 1), bad, 0)]),
        Step::Write(vec![
            (host(0, 0), good, 0),
            (host(1, 2), good, 0),
            (host(0, 1), bad, 0),
            (host(0, 3), good, 0),
        ]),
        Step::Write(vec![(host(1, 4), bad, 0)]),
    ];
    play(&steps, World::new(&[true, true], Words::Nothing, 1));
}

#[test]
fn routes_that_are_in_a_bad_hosts_table_alone_do_not_come_in_with_it_again_and_again() {
    let (good, bad) = (Quality::Good, Quality::Bad);
    let (narrow, wide) = (Thing::Host(0, 2), Thing::Routes(0, 3, 0));
    for words in [Words::Nothing, Words::Text, Words::Position, Words::Common, Words::Dump] {
        let steps = [Step::Write(vec![(wide, good, 0)]), Step::Settle, Step::Write(vec![(narrow, bad, 0)])];
        play(&steps, World::new(&[false], words, 1));
        play(&steps, World::new(&[true, false], words, 1));
        let both = [Step::Write(vec![(wide, bad, 0)]), Step::Settle, Step::Write(vec![(narrow, bad, 0)])];
        play(&both, World::new(&[false], words, 1));
    }
}

#[test]
fn what_a_proxy_brought_along_proves_no_routes_of_a_wider_domain_that_it_lacked() {
    let (good, bad) = (Quality::Good, Quality::Bad);
    let steps = [
        Step::Write(vec![(Thing::Routes(0, 3, 0), bad, 0), (Thing::Host(0, 0), good, 0)]),
        Step::RestartServer(vec![(Thing::Host(0, 2), good, 0)]),
    ];
    play(&steps, World::new(&[false], Words::Nothing, 1));
}

fn play(steps: &[Step], mut world: World) {
    for step in steps {
        match step {
            Step::Write(edits) => world.write(edits),
            Step::Port(proxy, port, taken) => world.take_port(*proxy, *port, *taken),
            Step::Read(proxy) => world.read(*proxy),
            Step::Receive(proxy) => world.receive(*proxy),
            Step::Wake(proxy) => world.wake(*proxy),
            Step::Reconnect(proxy, fresh) => world.reconnect(*proxy, *fresh),
            Step::RestartServer(edits) => world.restart_server(edits),
            Step::RestartAll => world.restart_all(),
            Step::Settle => world.settle(),
        }
    }
    world.settle();
}
