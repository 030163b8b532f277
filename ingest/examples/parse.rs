//! Times the parsing of one YAML file, or the listing of a directory of them:
//! `cargo run --release -p ingest --example parse -- PATH`.

use std::time::Instant;

use ingest::directory::{Options, read_once};
use ingest::{Limits, yaml};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: parse PATH")?;
    if std::path::Path::new(&path).is_dir() {
        let start = Instant::now();
        let listing = read_once(Options::new(&path))?;
        let (events, faults) = (listing.events.len(), listing.faults.len());
        println!("{events} events, {faults} faults: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        return Ok(());
    }
    let text = std::fs::read_to_string(&path)?;
    let limits = Limits::default();
    let mut best = f64::INFINITY;
    let mut documents = 0;
    for _ in 0..5 {
        let start = Instant::now();
        let chunks = yaml::split(&text);
        documents = chunks.len();
        for chunk in &chunks {
            yaml::compose(chunk.text, &limits).map_err(|error| format!("{path}: {error}"))?;
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let megabytes = text.len() as f64 / 1e6;
    println!("{documents} documents, {megabytes:.2} MB: {:.1} ms, {:.1} MB/s", best * 1e3, megabytes / best);
    Ok(())
}
