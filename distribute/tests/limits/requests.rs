//! Requests that are large, or come by halves.

use std::time::Duration;

use distribute::{Options, ResourceType};
use envoy_types::pb::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};
use prost::Message;
use tokio::task::JoinSet;

use crate::Siege;
use crate::client::Client;
use crate::raw::{DATA, HEADERS, Raw, message};

/// A proxy that comes back and says which of so many resources it has.
fn returning(names: usize) -> DeltaDiscoveryRequest {
    let has = |n: usize| (format!("httproute/team-{}/route-{n}/rule-0/match-0", n % 100), "0".repeat(32));
    DeltaDiscoveryRequest {
        node: Some(Node { id: "back".into(), ..Default::default() }),
        type_url: ResourceType::Cluster.url().into(),
        initial_resource_versions: (0..names).map(has).collect(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_requests_of_a_gateway_share_its_room() {
    let mut siege = Siege::of(Options::default()).await;
    let mut attackers = JoinSet::new();
    for _ in 0..24 {
        let mut raw = Raw::connect(siege.server.address).await;
        attackers.spawn(async move {
            raw.open(Some("token-other")).await;
            let mut prefix = vec![0];
            prefix.extend((31_u32 << 20).to_be_bytes());
            if raw.send(&prefix).await {
                for _ in 0..30 {
                    if !raw.send(&[0; 1 << 20]).await {
                        break;
                    }
                }
            }
            // One byte is missing; the server does not wait for it for ever.
            raw.until(HEADERS).await;
        });
    }
    siege.serves().await;
    // A proxy of another Gateway comes back with all that it has.
    let mut back = Raw::connect(siege.server.address).await;
    back.open(Some("token-web")).await;
    assert!(back.send(&message(&returning(190_000).encode_to_vec())).await);
    assert!(back.until(DATA).await.payload.len() > 5);
    siege.serves().await;
    siege.bounded(256);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_request_has_its_time() {
    let options = Options { request_timeout: Duration::from_millis(200), ..Options::default() };
    let mut siege = Siege::of(options).await;
    let whole = message(&returning(1).encode_to_vec());
    for n in [1, 4, 5, 6, whole.len() - 1] {
        let mut raw = Raw::connect(siege.server.address).await;
        raw.open(Some("token-web")).await;
        assert!(raw.send(&whole[..n]).await);
        raw.until(HEADERS).await;
    }
    // One byte at a time is not silent, and yet too slow.
    let mut slow = Raw::connect(siege.server.address).await;
    slow.open(Some("token-web")).await;
    let mut answered = false;
    for byte in &message(&returning(100).encode_to_vec())[..1000] {
        slow.send(&[*byte]).await;
        let head = tokio::time::timeout(Duration::from_millis(20), slow.next()).await;
        answered = matches!(head, Ok(Some(frame)) if frame.kind == HEADERS);
        if answered {
            break;
        }
    }
    assert!(answered, "it is waited for");
    siege.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_counted_before_they_are_held() {
    let mut siege = Siege::of(Options::default()).await;
    let mut many = Client::open(siege.server.address, Some("token-other")).await.unwrap();
    // 190,000 names are allowed.
    let names: Vec<String> = (0..190_000).map(|n| format!("service/team/backend-{n}/80")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    many.subscribe(ResourceType::Endpoints, &names).await;
    siege.serves().await;
    siege.bounded(256);
    // Names without a letter: two bytes each on the wire, and the limit of bytes has room for sixteen million.
    let mut bomb = Raw::connect(siege.server.address).await;
    bomb.open(Some("token-other")).await;
    siege.before = crate::resident();
    assert!(bomb.send(&message(&[0x1a, 0].repeat(10_000_000))).await);
    bomb.until(HEADERS).await;
    siege.serves().await;
    siege.bounded(100);
}
