//! Routes come, go and change under traffic: an answer is one of the configuration before the change or
//! of the one after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::config::{Config, HttpRoute, Listener};
use super::fleet::{Client, Fleet, Member, Seen, Way};
use super::generate::{Shape, route};
use super::model::answer;
use super::random::Random;
use super::requests::{Request, request};
use crate::harness::until;

const SERVED: &[Way] =
    &[("tables of one", &["--route-table-size", "1"]), ("tables of eight", &["--route-table-size", "8"])];
/// HTTPRoutes that the configuration grows to, and that it shrinks to.
const MOST: usize = 60;
const FEWEST: usize = 3;
/// Different requests that are sent during one change, again and again.
const REQUESTS: usize = 40;
pub(super) const CLIENTS: usize = 3;

/// A request by its index, and its answer.
pub(super) type Answered = (usize, Result<Seen, String>);
/// A client that has stopped, and the answers that it got.
type Sent = (Client, Vec<Answered>);

#[tokio::test]
async fn an_answer_is_of_the_configuration_before_or_after_the_change() {
    let Some(fleet) = Fleet::start(SERVED).await else { return };
    let seed = super::seed();
    let mut changes = Changes::new(Random::new(seed));
    let listeners = Config { listeners: changes.config.listeners.clone(), routes: Vec::new() };
    fleet.apply(0, &listeners).await;
    write(&fleet, 1, &changes.config);
    fleet.live(1).await;

    let mut clients: Vec<Vec<Client>> =
        fleet.members.iter().map(|member| (0..CLIENTS).map(|_| member.client()).collect()).collect();
    let mut tables = [Vec::new(), Vec::new()];
    let mut step = 1;
    for (phase, goal) in [MOST, FEWEST].into_iter().enumerate() {
        while changes.config.routes.len() != goal {
            step += 1;
            let before = changes.config.clone();
            let changed = changes.next(goal);
            let requests = Arc::new(changes.requests(&before, &changed));
            let traffic = Traffic::start(&mut clients, &requests).await;
            write(&fleet, step, &changes.config);
            fleet.live(step).await;
            let answers = traffic.stop(&mut clients).await;
            let case = Case { before: &before, after: &changes.config, requests: &requests };
            for (member, answers) in fleet.members.iter().zip(&answers) {
                case.check(answers, &format!("seed {seed}, step {step}, {}", member.way));
            }
        }
        tables[phase] = join_all(fleet.members.iter().map(Member::tables)).await;
    }
    for ((member, many), few) in fleet.members.iter().zip(&tables[0]).zip(&tables[1]) {
        let (many, few, way) = (many.len(), few.len(), member.way);
        assert!(many > 20 && many >= 2 * few, "{way}: {many} tables of {MOST} HTTPRoutes, {few} of {FEWEST}");
    }
}

pub(super) fn write(fleet: &Fleet, step: usize, config: &Config) {
    let routes: String = config.routes.iter().map(HttpRoute::yaml).collect();
    for member in &fleet.members {
        member.write("routes.yaml", step, &routes);
    }
}

/// A configuration that changes at random, one HTTPRoute at a time.
struct Changes {
    random: Random,
    config: Config,
    /// HTTPRoutes made so far.
    made: usize,
}

impl Changes {
    fn new(mut random: Random) -> Changes {
        let listener = |name: &str, port, hostname: Option<&str>| Listener {
            name: name.to_owned(),
            port,
            hostname: hostname.map(str::to_owned),
        };
        let listeners = vec![
            listener("open", 0, None),
            listener("narrow", 0, Some("*.example.org")),
            listener("other", 1, None),
        ];
        let made = MOST / 2;
        let routes = (0..made).map(|number| {
            let shape = *random.of(&Shape::ALL);
            route(&mut random, shape, &listeners, number)
        });
        let routes = routes.collect();
        Changes { random, config: Config { listeners, routes }, made }
    }

    /// Makes a change, most often one towards this number of HTTPRoutes; all forms of what changed.
    fn next(&mut self, goal: usize) -> Vec<HttpRoute> {
        let random = &mut self.random;
        let routes = &mut self.config.routes;
        self.made += 1;
        let shape = *random.of(&Shape::ALL);
        let mut new = route(random, shape, &self.config.listeners, self.made);
        let (to, fro) = if routes.len() < goal { (80, 5) } else { (5, 80) };
        let chance = random.below(100);
        if chance < to {
            routes.push(new.clone());
            return vec![new];
        }
        let index = random.below(routes.len());
        if chance < to + fro {
            return vec![routes.remove(index)];
        }
        let old = routes[index].clone();
        (new.namespace, new.name) = (old.namespace, old.name.clone());
        routes[index] = new.clone();
        vec![old, new]
    }

    /// Requests, most of them to what changed.
    fn requests(&mut self, before: &Config, changed: &[HttpRoute]) -> Vec<Request> {
        let aimed = Config { listeners: before.listeners.clone(), routes: changed.to_vec() };
        let after = &self.config;
        let config = |index| [&aimed, &aimed, before, after][index % 4];
        (0..REQUESTS).map(|index| request(&mut self.random, config(index))).collect()
    }
}

/// Clients that send requests until they are stopped.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    running: Vec<Vec<JoinHandle<Sent>>>,
}

impl Traffic {
    /// Takes the clients of each member, and returns when each has made a request.
    pub(super) async fn start(clients: &mut [Vec<Client>], requests: &Arc<Vec<Request>>) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let mut begun = Vec::new();
        let mut running = Vec::new();
        for clients in clients {
            let start = |(index, client): (usize, Client)| {
                let first = Arc::new(AtomicBool::new(false));
                begun.push(Arc::clone(&first));
                let offset = index * requests.len() / CLIENTS;
                tokio::spawn(send(client, Arc::clone(requests), offset, Arc::clone(&stop), first))
            };
            running.push(clients.drain(..).enumerate().map(start).collect());
        }
        until("every client has an answer", async || {
            let waiting = begun.iter().filter(|first| !first.load(Ordering::Relaxed)).count();
            if waiting == 0 { Ok(()) } else { Err(format!("{waiting} have none")) }
        })
        .await;
        Traffic { stop, running }
    }

    /// Gives the clients back; the answers of each member.
    pub(super) async fn stop(self, clients: &mut [Vec<Client>]) -> Vec<Vec<Answered>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for (clients, running) in clients.iter_mut().zip(self.running) {
            let mut answers = Vec::new();
            for client in running {
                let (client, its) = client.await.unwrap();
                clients.push(client);
                answers.extend(its);
            }
            all.push(answers);
        }
        all
    }
}

async fn send(
    mut client: Client,
    requests: Arc<Vec<Request>>,
    offset: usize,
    stop: Arc<AtomicBool>,
    first: Arc<AtomicBool>,
) -> Sent {
    let mut answers = Vec::new();
    for index in (0..requests.len()).cycle().skip(offset) {
        answers.push((index, client.ask(&requests[index]).await));
        first.store(true, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    (client, answers)
}

/// One change and what was asked during it.
pub(super) struct Case<'a> {
    pub(super) before: &'a Config,
    pub(super) after: &'a Config,
    pub(super) requests: &'a [Request],
}

impl Case<'_> {
    pub(super) fn check(&self, answers: &[Answered], place: &str) {
        let expected: Vec<_> = self
            .requests
            .iter()
            .map(|request| [answer(self.before, request), answer(self.after, request)])
            .collect();
        for (index, seen) in answers {
            let fits = seen.as_ref().is_ok_and(|seen| expected[*index].iter().any(|one| seen.is(one)));
            let routes = |config: &Config| config.routes.iter().map(HttpRoute::yaml).collect::<String>();
            assert!(
                fits,
                "{place}\nbefore:\n{}after:\n{}listeners: {:#?}\n{:?}\n  the model, before and after: {:?}\n  \
                 seen: {seen:?}",
                routes(self.before),
                routes(self.after),
                self.before.listeners,
                self.requests[*index],
                expected[*index],
            );
        }
    }
}
