//! How fast events become durable: one by one, and by many callers at once.
//!
//! `cargo run --release -p store --example append [DIR]`; DIR is where the log is made, and removed again.

use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use proto::{Change, ClusterId, Epoch, Event, Kind, ResourceKey, Revision};
use store::{EventLog, MemoryLog, SledLog};

const OBJECTS: u64 = 10_000;
const BATCH: usize = 250;
const BYTES: usize = 600;
const FOR: Duration = Duration::from_secs(2);
const CALLERS: u64 = 16;

fn event(at: u64) -> Event {
    let mut event = Event::synced(ClusterId::LOCAL, Kind::HTTP_ROUTE, Epoch(1), Epoch(0), 1);
    event.key = ResourceKey::local(Kind::HTTP_ROUTE, "default", format!("route-{}", at % OBJECTS));
    event.change = Change::Upsert(vec![b'a' + (at % 26) as u8; BYTES].into());
    event
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base)?;
    let started = Instant::now();
    let sled: Arc<dyn EventLog> = Arc::new(SledLog::open(dir.path())?);
    measure("sled", sled).await?;
    let opening = Instant::now();
    let log = SledLog::open(dir.path())?;
    println!("sled    opened again in {:?}, resident {}", opening.elapsed(), resident());
    let reading = Instant::now();
    let state = log.state_at(log.head().await?).await?;
    println!("sled    state of {} objects in {:?}, resident {}", state.len(), reading.elapsed(), resident());
    drop(state);
    let compacting = Instant::now();
    let done = log.compact(2).await?;
    println!(
        "sled    {} events dropped in {:?}, resident {}",
        done.dropped,
        compacting.elapsed(),
        resident()
    );
    let memory: Arc<dyn EventLog> = Arc::new(MemoryLog::new()?);
    measure("memory", memory).await?;
    println!("all in {:?}", started.elapsed());
    Ok(())
}

async fn measure(name: &str, log: Arc<dyn EventLog>) -> Result<(), Box<dyn Error>> {
    let filling = Instant::now();
    for first in (0..OBJECTS).step_by(BATCH) {
        log.append(&(first..first + BATCH as u64).map(event).collect::<Vec<_>>()).await?;
    }
    println!(
        "{name:7} {OBJECTS} events in batches of {BATCH}: {:?}, resident {}",
        filling.elapsed(),
        resident()
    );
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < FOR {
        let one = Instant::now();
        log.append(&[event(times.len() as u64)]).await?;
        times.push(one.elapsed());
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_nanos() as f64 / 1000.0;
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    println!(
        "{name:7} one by one: {rate:.0} appends/s, {:.1} µs median, {:.1} µs p99, resident {}",
        at(50),
        at(99),
        resident()
    );
    let (before, started) = (log.head().await?, Instant::now());
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut at = caller;
                while started.elapsed() < FOR {
                    log.append(&[event(at)]).await?;
                    at += CALLERS;
                }
                Ok::<_, store::Error>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    let Revision(appended) = Revision(log.head().await?.0 - before.0);
    println!(
        "{name:7} {CALLERS} callers: {:.0} appends/s",
        appended as f64 / started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Memory of this process, as Linux tells it.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown");
    line.trim().to_owned()
}
