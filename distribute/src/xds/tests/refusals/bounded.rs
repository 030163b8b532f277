//! How much goes out at the most.

use proptest::{prelude::*, test_runner::TestRunner};

use super::{config, edit, envoy::Words, things::Edit, world::World};

/// Envoys that refuse anything at any time, in any words: not even then goes anything out without end. Fresh ones that
/// are as they should be then have all that is good.
#[test]
fn the_number_of_pushes_is_bounded_whatever_is_refused() {
    let edits = proptest::collection::vec(proptest::collection::vec(edit(), 1..12), 1..6);
    let walks = proptest::collection::vec(any::<bool>(), 1..3);
    let table_size = prop_oneof![Just(1usize), Just(3), Just(128)];
    let input = (edits, walks, table_size, any::<u64>(), 1..=8u64, any::<bool>());
    TestRunner::new(config())
        .run(&input, |(edits, walks, table_size, seed, refused, restart)| {
            let mut world = World::new(&walks, Words::Noise(seed), table_size);
            world.settle();
            world.refuse_at_random(refused);
            play(&edits, &mut world);
            if restart {
                world.restart_at_random();
            }
            world.restart_all();
            world.settle();
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

fn play(edits: &[Vec<Edit>], world: &mut World) {
    for edits in edits {
        world.write(edits);
        world.rest();
    }
}
