//! Whatever happens on the way, in the end the events amount to what the server has.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proto::{Change, Kind};
use serde_json::json;

use super::{Fake, Source, route};

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    Status(usize),
    Delete(usize),
    Close,
    Gone,
    Expired,
    Throttle(u32),
    Down(u64),
    Restart,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_usize).prop_map(Step::Put),
        1 => (0..5_usize).prop_map(Step::Status),
        2 => (0..5_usize).prop_map(Step::Delete),
        2 => Just(Step::Close),
        1 => Just(Step::Gone),
        1 => Just(Step::Expired),
        1 => (0..60_u32).prop_map(Step::Throttle),
        1 => (0..90_u64).prop_map(Step::Down),
        1 => Just(Step::Restart),
        2 => Just(Step::Wait),
    ]
}

/// What the events amount to, as a log would have it.
#[derive(Default)]
struct Log {
    objects: BTreeMap<String, proto::Event>,
}

impl Log {
    fn take(&mut self, source: &mut Source) {
        while let Ok(batch) = source.batches.try_recv() {
            for event in batch.events.into_iter().filter(|event| event.key.kind == Kind::HTTP_ROUTE) {
                match event.change {
                    Change::Upsert(_) => drop(self.objects.insert(event.key.name.to_string(), event)),
                    Change::Delete => drop(self.objects.remove(event.key.name.as_str())),
                    _ => {}
                }
            }
        }
    }

    fn generations(&self) -> BTreeMap<String, i64> {
        self.objects.iter().map(|(name, event)| (name.clone(), event.generation)).collect()
    }
}

async fn play(steps: Vec<Step>) -> (BTreeMap<String, i64>, BTreeMap<String, i64>) {
    let (fake, mut log, mut generation) = (Fake::new(), Log::default(), 0);
    let mut source = Source::start(&fake, Vec::new());
    for step in steps {
        match step {
            Step::Put(n) => {
                generation += 1;
                fake.put("httproutes", route(&format!("r{n}"), generation));
            }
            Step::Status(n) => {
                let name = format!("r{n}");
                if let Some(generation) = fake.objects("httproutes").get(&name) {
                    let mut written = route(&name, *generation);
                    written["status"] = json!({"parents": []});
                    fake.put("httproutes", written);
                }
            }
            Step::Delete(n) => fake.delete("httproutes", &format!("r{n}")),
            Step::Close => fake.close("httproutes"),
            Step::Gone => {
                fake.refuse("httproutes", 410, None, "too old");
                fake.close("httproutes");
            }
            Step::Expired => {
                fake.say("httproutes", &json!({"type": "ERROR", "object": {"code": 410, "message": "old"}}));
            }
            Step::Throttle(seconds) => fake.refuse("httproutes", 429, Some(seconds), "slow down"),
            Step::Down(seconds) => {
                fake.down(true);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                fake.down(false);
            }
            Step::Restart => {
                log.take(&mut source);
                drop(source);
                source = Source::start(&fake, log.objects.values().filter_map(crate::Known::of).collect());
            }
            Step::Wait => tokio::time::sleep(Duration::from_secs(1)).await,
        }
        log.take(&mut source);
    }
    // Longer than any pause that is still due.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        log.take(&mut source);
    }
    (log.generations(), fake.objects("httproutes"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_end_in_what_the_server_has(steps in prop::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (have, wanted) = runtime.block_on(play(steps));
        prop_assert_eq!(have, wanted);
    }
}
