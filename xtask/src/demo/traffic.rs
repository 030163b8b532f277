//! Requests through Envoy, each shown with its answer.

use std::net::SocketAddr;

use super::http::{self, Answer};
use super::interrupt::Interrupt;
use crate::Outcome;

/// Requests that show the weights.
const WEIGHTED: usize = 40;
/// Of 40 requests at even weights, each backend gets fewer than this once in ten million runs.
const LEAST: usize = 5;

/// Requests by path, by header and by weight; returns how many answers were wrong.
pub(super) fn show(gateway: SocketAddr, interrupt: &Interrupt) -> Outcome<usize> {
    println!("\n== requests through Envoy at http://{gateway}");
    let mut wrong = 0;
    for (path, headers, wanted) in [
        ("/blue", &[][..], "blue"),
        ("/", &[("x-colour", "green")][..], "green"),
        ("/greet", &[][..], "blue"),
    ] {
        let answer = http::get(gateway, path, headers);
        let right = answer.as_ref().is_ok_and(|answer| answer.status == 200 && colour(answer) == wanted);
        let header: String = headers.iter().map(|(name, value)| format!("  {name}: {value}")).collect();
        show_line(&format!("GET {path}{header}"), &in_words(&answer), right);
        wrong += usize::from(!right);
    }
    interrupt.check()?;
    Ok(wrong + weights(gateway))
}

fn weights(gateway: SocketAddr) -> usize {
    let (mut blue, mut green, mut wrong) = (0, 0, 0);
    for _ in 0..WEIGHTED {
        match http::get(gateway, "/", &[]) {
            Ok(answer) if answer.status == 200 && colour(&answer) == "blue" => blue += 1,
            Ok(answer) if answer.status == 200 && colour(&answer) == "green" => green += 1,
            other => {
                wrong += 1;
                eprintln!("  {}", in_words(&other));
            }
        }
    }
    let uneven = usize::from(blue < LEAST || green < LEAST);
    let shares = format!("{blue} blue, {green} green, {wrong} other");
    show_line(&format!("GET /  {WEIGHTED} times, weights 1:1"), &shares, wrong + uneven == 0);
    wrong + uneven
}

/// The backend that answered; empty if none did.
pub(super) fn colour(answer: &Answer) -> String {
    answer.json()["pod"].as_str().unwrap_or_default().to_owned()
}

/// `200 from blue`, or what went wrong.
pub(super) fn in_words(answer: &Outcome<Answer>) -> String {
    match answer {
        Ok(answer) if colour(answer).is_empty() => format!("{} {}", answer.status, answer.body.trim()),
        Ok(answer) => format!("{} from {}", answer.status, colour(answer)),
        Err(problem) => problem.clone(),
    }
}

/// One request and its answer.
pub(super) fn show_line(request: &str, answer: &str, right: bool) {
    println!("{request:<34} {answer}{}", if right { "" } else { "   <- WRONG" });
}
