//! A real Envoy, a backend, and requests.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::bed::FOREVER;

const ASK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A running Envoy; ends when dropped.
pub(crate) struct Envoy {
    child: Child,
    dir: TempDir,
    /// Of its listener.
    pub(crate) port: u16,
}

impl Envoy {
    /// An Envoy that takes its configuration from a server.
    pub(crate) fn start(binary: &Path, server: SocketAddr, port: u16) -> Envoy {
        let dir = TempDir::new().unwrap();
        let config = dir.path().join("envoy.yaml");
        let xds = server.port().to_string();
        std::fs::write(&config, include_str!("bootstrap.yaml").replace("XDS_PORT", &xds)).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(binary)
            .arg("-c")
            .arg(&config)
            .args(["--concurrency", "1", "--disable-hot-restart", "-l", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Envoy { child, dir, port }
    }

    /// Waits until it takes connections.
    pub(crate) async fn listens(&self) {
        self.until("listen", async || TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()).await;
    }

    /// Waits until a host answers with a status.
    pub(crate) async fn answers(&self, host: &str, status: u16) {
        self.until(host, async || get(self.port, host).await.0 == status).await;
    }

    /// Waits until a host answers with a body.
    pub(crate) async fn answers_with(&self, host: &str, body: &str) {
        self.until(host, async || get(self.port, host).await.1 == body).await;
    }

    async fn until(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        let wait = async {
            while !done().await {
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        if tokio::time::timeout(FOREVER, wait).await.is_err() {
            panic!("{what}: not so; Envoy's log:\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("Envoy's log:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers every request with its name.
pub(crate) struct Backend {
    pub(crate) port: u16,
    serving: JoinHandle<()>,
}

impl Backend {
    pub(crate) async fn start(name: &'static str) -> Backend {
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = socket.accept().await {
                tokio::spawn(answer(connection, name));
            }
        });
        Backend { port, serving }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut connection: TcpStream, name: &str) {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
    let mut request = Vec::new();
    while connection.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            if connection.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Status and body of `GET /`; status 0 if there was no answer.
pub(crate) async fn get(port: u16, host: &str) -> (u16, String) {
    let ask = async {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match tokio::time::timeout(FOREVER, ask).await.expect("no answer") {
        Ok(answer) => {
            let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            (status, body.into())
        }
        Err(error) => (0, error.to_string()),
    }
}
