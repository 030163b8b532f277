//! Proxies that ask and do not read.

use distribute::Options;
use envoy_types::pb::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};
use prost::Message;
use proto::{Put, XdsKind};

use crate::Siege;
use crate::pieces::{delta, key};
use crate::raw::{HEADERS, Raw, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_holds_no_copies() {
    let mut siege = Siege::of(Options::default()).await;
    // 16 MiB, as one scope has them: 64 clusters of 256 KiB, of a content that says nothing.
    let large = |n: usize| {
        let mut body = format!("\x0a\x02{}", 10 + n).into_bytes();
        body.extend([0xfa, 0xff, 0x03]); // a field that nobody knows
        body.extend([0x80, 0x80, 0x10]);
        body.extend(vec![b'x'; 256 << 10]);
        Put::new(key(XdsKind::Cluster, &format!("{}", 10 + n)), body)
    };
    siege.server.distributor.publish(&delta(2, (0..64).map(large).collect(), Vec::new()));
    siege.revision = 2;
    siege.proxy.take().await;
    let node = Some(Node { id: "mute".into(), ..Default::default() });
    let type_url = distribute::ResourceType::Cluster.url().into();
    let first = DeltaDiscoveryRequest { node, type_url, ..Default::default() };
    let first = message(&first.encode_to_vec());
    let mut mute = Vec::new();
    for _ in 0..100 {
        let mut raw = Raw::connect(siege.server.address).await;
        raw.open(Some("token-web")).await;
        raw.send(&first).await;
        raw.until(HEADERS).await;
        mute.push(raw);
    }
    siege.revision += 1;
    let change = delta(siege.revision, vec![crate::pieces::cluster("b")], Vec::new());
    siege.server.distributor.publish(&change);
    assert_eq!(siege.proxy.take().await, "cds b");
    siege.bounded(200);
}
