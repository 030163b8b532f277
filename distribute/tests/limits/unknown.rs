//! Peers that do not say who they are.

use distribute::Options;

use crate::Siege;
use crate::raw::{END_HEADERS, HEADERS, RST_STREAM, Raw, frame, opening};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_thousand_silent_streams_without_a_token_keep_nobody_out() {
    let mut siege = Siege::of(Options::default()).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(siege.server.address).await;
        for n in 0..60 {
            raw.write(&frame(HEADERS, END_HEADERS, 2 * n + 1, &opening(None))).await;
        }
        silent.push(raw);
    }
    siege.serves().await;
    siege.bounded(64);
    // More than a few streams at a time are an attack.
    for raw in &mut silent {
        raw.closed().await;
    }
    siege.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_lose_their_places_to_new_ones() {
    let mut siege = Siege::of(Options { max_unknown_connections: 100, ..Options::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(Raw::connect(siege.server.address).await);
    }
    siege.serves().await;
    siege.bounded(64);
    silent[0].closed().await;
    // The newest have their time, and no more.
    silent[999].closed().await;
    siege.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_one_gateway_leave_room_for_another() {
    let mut siege = Siege::of(Options { max_streams_per_gateway: 20, ..Options::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        let mut raw = Raw::connect(siege.server.address).await;
        raw.open(Some("token-other")).await;
        silent.push(raw);
    }
    for raw in &mut silent[20..] {
        raw.until(HEADERS).await;
    }
    siege.serves().await;
    // A known peer that says nothing ends, too.
    silent[0].until(HEADERS).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_refused_is_not_read() {
    let mut siege = Siege::of(Options::default()).await;
    let mut raw = Raw::connect(siege.server.address).await;
    raw.open(None).await;
    raw.until(HEADERS).await;
    // The rest of its body is nobody's: the server says so, and no window opens for it.
    raw.until(RST_STREAM).await;
    assert!(!raw.send(&vec![0; 1 << 20]).await);
    siege.serves().await;
}
