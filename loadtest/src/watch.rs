//! Asks until the new answer comes, and counts every answer that is neither the old nor the new.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::objects::Target;
use crate::probe::{Answer, Client};
use crate::process::check_interrupt;
use crate::scenario::Step;

/// Pause between two questions: the prober shall not take a whole core from what it measures.
const PAUSE: Duration = Duration::from_micros(100);
/// Every so many questions, one goes to the route that nothing changes.
const STEADY_EVERY: u32 = 4;
/// Questions after the first new answer, all of which must get it again.
const TAIL: u32 = 4;
/// Longest wait for a change to show.
const LIMIT: Duration = Duration::from_secs(120);

/// Wrong answers by what they were.
pub(crate) type Wrong = BTreeMap<String, u64>;

/// Watches one Envoy.
#[derive(Debug)]
pub(crate) struct Watch {
    client: Client,
    steady: (Target, Answer),
    /// What went wrong so far.
    pub(crate) wrong: Wrong,
    /// Answers so far.
    pub(crate) answers: u64,
}

impl Watch {
    /// Watches the Envoy that listens on `port`; `steady` must always be answered the same.
    pub(crate) fn new(port: u16, steady: (Target, Answer)) -> Watch {
        Watch { client: Client::new(port), steady, wrong: Wrong::new(), answers: 0 }
    }

    /// Waits for the new answer of a step, and gives the time since `since`.
    ///
    /// # Errors
    /// If it does not come in two minutes.
    pub(crate) fn settle(&mut self, step: &Step, since: Instant) -> anyhow::Result<Duration> {
        for question in 0_u32.. {
            if question % STEADY_EVERY == STEADY_EVERY - 1 {
                self.check_steady();
            }
            let answer = self.ask(&step.target.clone());
            if answer.as_ref().is_ok_and(|answer| *answer == step.new) {
                break;
            }
            self.judge("changed route", answer, &[&step.old]);
            if since.elapsed() > LIMIT {
                bail!("no {} for {:?} within {} s", step.new, step.target, LIMIT.as_secs());
            }
            check_interrupt()?;
            std::thread::sleep(PAUSE);
        }
        let latency = since.elapsed();
        for _ in 0..TAIL {
            let answer = self.ask(&step.target.clone());
            self.judge("changed route, after the change", answer, &[&step.new]);
            self.check_steady();
        }
        Ok(latency)
    }

    fn check_steady(&mut self) {
        let (target, expected) = self.steady.clone();
        let answer = self.ask(&target);
        self.judge("other route", answer, &[&expected]);
    }

    fn ask(&mut self, target: &Target) -> anyhow::Result<Answer> {
        self.answers += 1;
        self.client.ask(target)
    }

    fn judge(&mut self, whose: &str, answer: anyhow::Result<Answer>, allowed: &[&Answer]) {
        let what = match answer {
            Ok(answer) if allowed.contains(&&answer) => return,
            Ok(answer) => format!("{whose}: {answer}"),
            Err(error) => format!("{whose}: {error:#}"),
        };
        *self.wrong.entry(what).or_insert(0) += 1;
    }
}
