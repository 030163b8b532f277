//! The server under attack, over loopback: what anonymous and known peers send at it by hand, frame by frame, must
//! neither swell it nor keep proxies out. One at a time, since each looks at the memory of the process.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not know as such

#[allow(dead_code)]
#[path = "../suite/bed.rs"]
mod bed;
#[allow(dead_code)]
#[path = "../suite/client.rs"]
mod client;
mod floods;
mod mutual_tls;
#[allow(dead_code)]
#[path = "../suite/pieces.rs"]
mod pieces;
mod raw;
mod readers;
mod requests;
mod unknown;

use bed::Server;
use client::Client;
use distribute::Options;
use pieces::{cluster, delta};
use tokio::sync::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A server under attack, with a good proxy that is served meanwhile.
struct Siege {
    server: Server,
    proxy: Client,
    revision: u64,
    before: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Siege {
    async fn of(options: Options) -> Siege {
        let alone = ONE_AT_A_TIME.lock().await;
        let server = Server::at(([127, 0, 0, 1], 0).into(), options).await;
        server.distributor.publish(&delta(1, vec![cluster("a")], Vec::new()));
        let mut proxy = Client::open(server.address, Some("token-web")).await.unwrap();
        assert_eq!(proxy.take().await, "cds a");
        Siege { server, proxy, revision: 1, before: resident(), _alone: alone }
    }

    /// The proxy is told of a change, and a new one gets in.
    async fn serves(&mut self) {
        self.revision += 1;
        let name = format!("a{}", self.revision);
        self.server.distributor.publish(&delta(self.revision, vec![cluster(&name)], Vec::new()));
        assert_eq!(self.proxy.take().await, format!("cds {name}"));
        let mut new = Client::open(self.server.address, Some("token-web")).await.unwrap();
        assert!(new.take().await.starts_with("cds a "), "a new proxy gets everything");
    }

    /// The process has not grown by more than so many MiB.
    fn bounded(&self, mebibytes: usize) {
        let grown = resident().saturating_sub(self.before) >> 20;
        println!("grown by {grown} MiB, {mebibytes} are allowed");
        assert!(grown <= mebibytes, "{grown} MiB");
    }
}

/// Resident memory of this process in bytes, the attackers' included.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
