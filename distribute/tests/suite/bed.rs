//! A server on an ephemeral port.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use distribute::{Authenticate, Distributor, Listener, Options, PrivateKeys, ProxyState};
use proto::{Feedback, PrivateKeyRef, ResourceKey, Revision};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::pieces::gateway;

/// A wait that takes this long will never end.
pub(crate) const FOREVER: Duration = Duration::from_secs(120);

/// The token of Gateway `default/NAME` is `token-NAME`; a certificate is for `default/web`.
struct Tokens;

impl Authenticate for Tokens {
    fn scope(&self, peer: distribute::Peer<'_>) -> Result<ResourceKey, String> {
        let name = peer.bearer_token.and_then(|token| token.strip_prefix("token-"));
        let name = name.or_else(|| peer.certificate.map(|_| "web"));
        name.map(gateway).ok_or_else(|| "no known token".to_owned())
    }
}

/// Private keys by name of the Secret.
#[derive(Default)]
pub(crate) struct Keys(pub(crate) Mutex<BTreeMap<String, Bytes>>);

impl PrivateKeys for Keys {
    fn private_key(&self, key: &PrivateKeyRef) -> Option<Bytes> {
        self.0.lock().unwrap().get(key.secret.name.as_str()).cloned()
    }
}

pub(crate) struct Server {
    pub(crate) distributor: Distributor,
    pub(crate) keys: Arc<Keys>,
    pub(crate) address: SocketAddr,
    feedback: mpsc::UnboundedReceiver<Feedback>,
    shutdown: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::at(([127, 0, 0, 1], 0).into(), Options::default()).await
    }

    pub(crate) async fn at(address: SocketAddr, options: Options) -> Server {
        let socket = TcpListener::bind(address).await.unwrap();
        let address = socket.local_addr().unwrap();
        Server::on(Listener::Tcp(socket), address, options)
    }

    pub(crate) fn on(listener: Listener, address: SocketAddr, options: Options) -> Server {
        let (tell, feedback) = mpsc::unbounded_channel();
        let keys = Arc::new(Keys::default());
        let distributor = Distributor::new(options, keys.clone(), tell);
        let (shutdown, stopped) = oneshot::channel();
        let stop = async {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(distributor.clone().serve(listener, Arc::new(Tokens), stop));
        Server { distributor, keys, address, feedback, shutdown: Some(shutdown), serving }
    }

    /// Asks the server to stop and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.shutdown.take());
        tokio::time::timeout(FOREVER, &mut self.serving).await.expect("does not stop").unwrap();
    }

    /// Reads what proxies say until `wanted` gives a value.
    pub(crate) async fn feedback<T>(&mut self, mut wanted: impl FnMut(&Feedback) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let find = async {
            loop {
                let one = self.feedback.recv().await.expect("the server lives");
                if let Some(value) = wanted(&one) {
                    return value;
                }
                seen.push(one);
            }
        };
        let found = tokio::time::timeout(FOREVER, find).await;
        found.unwrap_or_else(|_| panic!("proxies never said it, but {seen:#?}"))
    }

    /// Waits until a proxy has everything up to a revision.
    pub(crate) async fn acked(&mut self, wanted: u64) {
        self.feedback(|one| match one {
            Feedback::Acked { revision, .. } if *revision >= Revision(wanted) => Some(()),
            _ => None,
        })
        .await;
    }

    /// The one proxy that the server knows.
    pub(crate) fn proxy(&self) -> ProxyState {
        let mut proxies = self.distributor.proxies();
        assert_eq!(proxies.len(), 1);
        proxies.remove(0)
    }
}
