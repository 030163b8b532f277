//! The server as a gRPC client sees it.

use distribute::{Options, ResourceType, Unfit};
use envoy_types::pb::envoy::{
    extensions::transport_sockets::tls::v3::{Secret, secret},
    service::{
        cluster::v3::cluster_discovery_service_client::ClusterDiscoveryServiceClient,
        discovery::v3::DiscoveryRequest,
    },
};
use prost::Message;
use proto::{
    Base, Condition, Delta, Feedback, LogId, ObjectStatus, Partition, Report, Revision, XdsKey, XdsKind,
};
use tonic::{Code, codegen::tokio_stream};

use crate::{
    bed::Server,
    client::{Client, bearing, connect},
    pieces::{
        bad_host, cluster, delta, endpoints, gateway, host, key, listener, of, secret as certificate, table,
    },
};

fn first() -> Delta {
    let puts = vec![
        cluster("a"),
        endpoints("a", 1),
        certificate("cert", "PEM 1"),
        listener("l", 10_000, "t"),
        table("t"),
        host("a.test", "a"),
    ];
    delta(1, puts, Vec::new())
}

/// A client that has asked for and ACKed all of [`first`], except the secret.
async fn started(server: &mut Server) -> Client {
    server.distributor.publish(&first());
    let mut client = Client::open(server.address, Some("token-web")).await.unwrap();
    client.subscribe(ResourceType::Listener, &[]).await;
    assert_eq!(client.take().await, "cds a");
    client.subscribe(ResourceType::Endpoints, &["a"]).await;
    assert_eq!(client.take().await, "eds a");
    assert_eq!(client.take().await, "lds l");
    client.subscribe(ResourceType::Route, &["t"]).await;
    assert_eq!(client.take().await, "rds t");
    server.acked(1).await;
    client
}

#[tokio::test]
async fn a_full_connect_gets_everything_in_order() {
    let mut server = Server::start().await;
    let mut client = Client::open(server.address, Some("token-web")).await.unwrap();
    for (kind, names) in [
        (ResourceType::Route, &["t"][..]),
        (ResourceType::Listener, &[]),
        (ResourceType::Secret, &["cert"]),
        (ResourceType::Endpoints, &["a"]),
    ] {
        client.subscribe(kind, names).await;
    }
    client.quiet().await;
    server.keys.0.lock().unwrap().insert("cert".into(), "KEY".into());
    server.distributor.publish(&first());
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(client.take().await);
    }
    assert_eq!(order, ["cds a", "eds a", "sds cert", "lds l", "rds t"]);
    server.acked(1).await;
    let proxy = server.proxy();
    assert_eq!((proxy.id.as_str(), proxy.scope, proxy.connected), ("proxy-1", gateway("web"), true));
    assert_eq!((proxy.acked, proxy.current, proxy.resources_sent), (Revision(1), Revision(1), 5));
    assert!(proxy.bytes_sent > 0 && proxy.last_nack.is_none());
}

#[tokio::test]
async fn an_update_sends_only_what_changed() {
    let mut server = Server::start().await;
    let mut client = started(&mut server).await;
    server.distributor.publish(&delta(2, vec![endpoints("a", 2)], Vec::new()));
    assert_eq!(client.take().await, "eds a");
    server.distributor.publish(&delta(3, vec![host("b.test", "a")], Vec::new()));
    assert_eq!(client.take().await, "rds t");
    server.distributor.publish(&delta(4, vec![host("b.test", "a"), cluster("a")], Vec::new()));
    server.acked(4).await;
    client.quiet().await;
    server.distributor.publish(&delta(
        5,
        Vec::new(),
        vec![XdsKey::virtual_host(gateway("web"), "t", "b.test")],
    ));
    assert_eq!(client.take().await, "rds t");
    server.acked(5).await;
}

#[tokio::test]
async fn a_removal_follows_what_used_it() {
    let mut server = Server::start().await;
    let mut client = started(&mut server).await;
    let removes = vec![key(XdsKind::Cluster, "a"), key(XdsKind::Endpoints, "a")];
    let puts = vec![cluster("b"), endpoints("b", 1), host("a.test", "b")];
    server.distributor.publish(&delta(2, puts, removes));
    assert_eq!(client.take().await, "cds b");
    client.subscribe(ResourceType::Endpoints, &["b"]).await;
    assert_eq!(client.take().await, "eds b");
    assert_eq!(client.take().await, "rds t");
    assert_eq!(client.take().await, "cds -a");
}

#[tokio::test]
async fn other_methods_are_refused_with_a_sentence() {
    let server = Server::start().await;
    let mut ads = connect(server.address).await;
    let stream = bearing(tokio_stream::pending::<DiscoveryRequest>(), Some("token-web"));
    let status = ads.stream_aggregated_resources(stream).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("DELTA_GRPC"), "{}", status.message());

    let mut cds = ClusterDiscoveryServiceClient::connect(format!("http://{}", server.address)).await.unwrap();
    let unary = bearing(DiscoveryRequest::default(), Some("token-web"));
    let status = cds.fetch_clusters(unary).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("FetchClusters"), "{}", status.message());
    let stream = bearing(tokio_stream::pending(), Some("token-web"));
    let status = cds.delta_clusters(stream).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn who_has_no_token_or_node_gets_nothing() {
    let server = Server::start().await;
    server.distributor.publish(&first());
    for token in [None, Some("other")] {
        let status = Client::open(server.address, token).await.err().expect("refused");
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("token"), "{}", status.message());
    }
    let mut ads = connect(server.address).await;
    let nobody = tokio_stream::once(Default::default());
    let status = ads.delta_aggregated_resources(bearing(nobody, Some("token-web"))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(server.distributor.proxies().is_empty());
}

#[tokio::test]
async fn a_token_opens_one_scope_only() {
    let mut server = Server::start().await;
    let mut client = started(&mut server).await;
    let other = gateway("other");
    let foreign = |put| of(&other, put);
    let puts = vec![foreign(cluster("x")), foreign(certificate("theirs", "PEM 2"))];
    server.keys.0.lock().unwrap().insert("theirs".into(), "KEY 2".into());
    server.distributor.publish(&delta(2, puts, Vec::new()));
    client.subscribe(ResourceType::Secret, &["theirs"]).await;
    client.subscribe(ResourceType::Cluster, &["x"]).await;
    client.quiet().await;
    let mut theirs = Client::open(server.address, Some("token-other")).await.unwrap();
    assert_eq!(theirs.take().await, "cds x");
    theirs.subscribe(ResourceType::Secret, &["cert", "theirs"]).await;
    assert_eq!(theirs.take().await, "sds theirs");
    theirs.quiet().await;
}

#[tokio::test]
async fn a_private_key_is_joined_in_when_it_is_known() {
    let mut server = Server::start().await;
    let mut client = started(&mut server).await;
    client.subscribe(ResourceType::Secret, &["cert"]).await;
    // It would wait for the certificate with the listener's port closed.
    assert_eq!(client.take().await, "sds -cert");
    client.quiet().await;
    server.keys.0.lock().unwrap().insert("cert".into(), "KEY 1".into());
    server.distributor.keys_changed();
    let response = client.next().await;
    let body = &response.resources[0].resource.as_ref().unwrap().value;
    let Some(secret::Type::TlsCertificate(sent)) = Secret::decode(body.as_slice()).unwrap().r#type else {
        panic!("not a certificate");
    };
    assert_eq!(inline(sent.certificate_chain), b"PEM 1");
    assert_eq!(inline(sent.private_key), b"KEY 1");
    client.ack(&response).await;
    server.distributor.keys_changed();
    client.quiet().await;
    let served = server.distributor.resources(&gateway("web"));
    assert!(served.iter().all(|one| !one.body.windows(3).any(|part| part == b"KEY")), "keys stay hidden");
}

fn inline(source: Option<envoy_types::pb::envoy::config::core::v3::DataSource>) -> Vec<u8> {
    use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
    match source.unwrap().specifier.unwrap() {
        Specifier::InlineBytes(bytes) => bytes,
        Specifier::InlineString(text) => text.into_bytes(),
        other => panic!("not inline: {other:?}"),
    }
}

#[tokio::test]
async fn a_refused_push_is_told_and_healed() {
    let mut server = Server::start().await;
    let mut client = started(&mut server).await;
    let puts = vec![bad_host("a.test", "(bad", "a"), host("b.test", "a")];
    server.distributor.publish(&delta(2, puts, Vec::new()));
    let response = client.next().await;
    client.answer(&response, Some("Invalid regex '(bad': missing )")).await;
    let is_bad = |response: &envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse| {
        let body = &response.resources[0].resource.as_ref().unwrap().value;
        body.windows(4).any(|part| part == b"(bad")
    };
    let good = client.next().await;
    assert!(!is_bad(&good));
    client.ack(&good).await;
    let again = client.next().await;
    assert!(is_bad(&again), "tried alone");
    client.answer(&again, Some("Invalid regex '(bad': missing )")).await;
    let keys = server.feedback(|one| match one {
        Feedback::Nacked { keys, .. } if !keys.is_empty() => Some(keys.clone()),
        _ => None,
    });
    assert_eq!(keys.await, [XdsKey::virtual_host(gateway("web"), "t", "a.test")]);
    client.quiet().await;
    let nack = server.proxy().last_nack.unwrap();
    assert!(nack.message.contains("missing )") && nack.revision == Revision(2));

    server.distributor.publish(&delta(3, vec![host("a.test", "b")], Vec::new()));
    client.take().await;
    let healed = server.feedback(|one| match one {
        Feedback::Healed { keys, .. } => Some(keys.clone()),
        _ => None,
    });
    assert_eq!(healed.await, [XdsKey::virtual_host(gateway("web"), "t", "a.test")]);
    server.acked(3).await;
}

#[tokio::test]
async fn stopping_ends_the_streams_and_returns() {
    let mut server = Server::start().await;
    let mut client = started(&mut server).await;
    // Two more that are in the way: one that never says who it is, and one that never reads.
    let mut silent = connect(server.address).await;
    let silent = tokio::spawn(async move {
        silent.delta_aggregated_resources(bearing(tokio_stream::pending(), Some("token-web"))).await
    });
    let _mute = Client::open(server.address, Some("token-web")).await.unwrap();
    let _raw = tokio::net::TcpStream::connect(server.address).await.unwrap();
    server.stop().await;
    let status = client.end().await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(silent.await.unwrap().is_err());
}

#[tokio::test]
async fn a_proxy_that_leaves_is_told() {
    let mut server = Server::start().await;
    let client = started(&mut server).await;
    drop(client);
    let gone = server.feedback(|one| match one {
        Feedback::Disconnected { proxy, .. } => Some(proxy.clone()),
        _ => None,
    });
    assert_eq!(gone.await, "proxy-1");
    assert!(!server.proxy().connected);
}

#[tokio::test]
async fn too_many_streams_or_names_are_refused() {
    let options = Options { max_streams: 1, max_subscriptions: 2, ..Options::default() };
    let server = Server::at(([127, 0, 0, 1], 0).into(), options).await;
    let mut client = Client::open(server.address, Some("token-web")).await.unwrap();
    let status = Client::open(server.address, Some("token-web")).await.err().expect("refused");
    assert_eq!(status.code(), Code::ResourceExhausted);
    client.subscribe(ResourceType::Endpoints, &["1", "2", "3"]).await;
    client.subscribe(ResourceType::Endpoints, &["4"]).await;
    assert_eq!(client.end().await.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_delta_on_nothing_takes_away_what_its_partition_had() {
    let server = Server::start().await;
    let first = vec![cluster("a"), cluster("b"), table("t"), host("a.example.com", "a")];
    server.distributor.publish(&delta(1, first, Vec::new()));
    let other = delta(1, vec![of(&gateway("other"), cluster("c"))], Vec::new());
    server.distributor.publish(&Delta { partition: Partition(1), ..other });
    let served = |scope: &str| {
        let served = server.distributor.resources(&gateway(scope));
        served.into_iter().map(|one| one.name.to_string()).collect::<Vec<_>>()
    };
    assert!(served("web").len() > 2, "{:?}", served("web"));
    let all = delta(2, vec![cluster("a")], Vec::new());
    server.distributor.publish(&Delta { base: Base::Nothing, ..all });
    assert_eq!((served("web"), served("other")), (vec!["a".to_owned()], vec!["c".to_owned()]));
}

#[tokio::test]
async fn a_log_that_begins_anew_resends_nothing_and_counts_from_its_beginning() {
    let mut server = Server::start().await;
    let mut client = Client::open(server.address, Some("token-web")).await.unwrap();
    client.subscribe(ResourceType::Cluster, &[]).await;
    client.subscribe(ResourceType::Listener, &[]).await;
    let all = |log, revision| {
        let all = delta(revision, vec![listener("l", 8080, "t")], Vec::new());
        Delta { base: Base::Nothing, log: LogId(log), ..all }
    };
    server.distributor.apply(&all(1, 10)).unwrap();
    for _ in 0..2 {
        let answer = client.next().await;
        client.ack(&answer).await;
    }
    server.acked(10).await;
    server.distributor.apply(&all(2, 3)).unwrap();
    server
        .feedback(|one| match one {
            Feedback::Acked { revision, .. } if *revision == Revision(3) => Some(()),
            _ => None,
        })
        .await;
    client.quiet().await;
    assert_eq!((server.proxy().acked, server.proxy().current), (Revision(3), Revision(3)));
    let old = server.distributor.apply(&Delta { base: Base::At(Revision(10)), ..all(1, 11) }).unwrap_err();
    assert!(matches!(old, Unfit::Gap { .. }), "{old}");
    assert_eq!(server.proxy().current, Revision(3));
}

#[tokio::test]
async fn a_gateway_without_resources_is_told_so() {
    let mut server = Server::start().await;
    let mut client = Client::open(server.address, Some("token-web")).await.unwrap();
    client.subscribe(ResourceType::Cluster, &[]).await;
    client.subscribe(ResourceType::Listener, &[]).await;
    client.quiet().await;
    let told = |revision, conditions| {
        let status = ObjectStatus { conditions, ..ObjectStatus::default() };
        let report = Report { key: gateway("web"), status: Some(status) };
        Delta { reports: vec![report], ..delta(revision, Vec::new(), Vec::new()) }
    };
    // One without conditions may be anybody's: what its proxies have is not taken from them.
    server.distributor.publish(&told(1, Vec::new()));
    client.quiet().await;
    let accepted = Condition::new("Accepted", true, "Accepted", "");
    server.distributor.publish(&told(2, vec![accepted]));
    // An Envoy is not ready before both are answered.
    for _ in 0..2 {
        let answer = client.next().await;
        assert!(answer.resources.is_empty() && answer.removed_resources.is_empty());
        client.ack(&answer).await;
    }
    server.acked(2).await;
}
