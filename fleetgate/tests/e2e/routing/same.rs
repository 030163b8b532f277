//! Random configurations and requests: every way to serve answers as the model says.

use futures_util::future::join_all;

use super::config::{Config, HttpRoute};
use super::fleet::{Fleet, Member, Seen, WAYS};
use super::generate::{Shape, config};
use super::model::answer;
use super::random::Random;
use super::requests::{Request, request};

const CONFIGURATIONS: usize = 15;
const REQUESTS: usize = 500;
/// HTTPRoutes of the largest configuration.
const LARGEST: usize = 60;

#[tokio::test]
async fn every_way_to_serve_routes_as_the_model() {
    let Some(fleet) = Fleet::start(WAYS).await else { return };
    let seed = super::seed();
    for step in 0..CONFIGURATIONS {
        let mut random = Random::new(seed.wrapping_add(u64::try_from(step).unwrap()));
        let shape = Shape::ALL[step % Shape::ALL.len()];
        let config = config(&mut random, shape, LARGEST);
        fleet.apply(step, &config).await;
        let requests: Vec<Request> = (0..REQUESTS).map(|_| request(&mut random, &config)).collect();
        let all = join_all(fleet.members.iter().map(|member| answers(member, &requests))).await;
        for (index, request) in requests.iter().enumerate() {
            let seen: Vec<_> = all.iter().map(|answers| &answers[index]).collect();
            compare(&config, request, &fleet, &seen, &format!("seed {seed}, step {step}, {shape:?}"));
        }
    }
}

async fn answers(member: &Member, requests: &[Request]) -> Vec<Result<Seen, String>> {
    let mut client = member.client();
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        answers.push(client.ask(request).await);
    }
    answers
}

fn compare(config: &Config, request: &Request, fleet: &Fleet, seen: &[&Result<Seen, String>], place: &str) {
    let expected = answer(config, request);
    let right = |seen: &&Result<Seen, String>| seen.as_ref().is_ok_and(|seen| seen.is(&expected));
    // Locations too: of one rule they are equal if the path is.
    let location = |seen: &Result<Seen, String>| seen.as_ref().ok().and_then(|seen| seen.location.clone());
    if seen.iter().all(right) && seen.iter().all(|other| location(other) == location(seen[0])) {
        return;
    }
    let answers: String = fleet
        .members
        .iter()
        .zip(seen)
        .map(|(member, seen)| format!("  {}: {}\n", member.way, brief(&format!("{seen:?}"))))
        .collect();
    let routes: String = config.routes.iter().map(HttpRoute::yaml).collect();
    panic!(
        "{place}\n{routes}listeners: {:#?}\n{}\n  the model: {expected:?}\n{answers}",
        config.listeners,
        brief(&format!("{request:?}"))
    );
}

/// Without the middle of what is very long.
fn brief(text: &str) -> String {
    if text.len() < 2_000 || !text.is_ascii() {
        return text.to_owned();
    }
    format!("{} ... {}", &text[..500], &text[text.len() - 500..])
}
