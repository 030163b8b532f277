//! The end of an Envoy without a loss: it takes no more connections, asks those that are there to close with their next
//! answer, and then requests and connections under way end.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::files::Files;

/// The longest that they are waited for.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Returns when nothing is under way any more, after half a minute, or at once if Envoy's admin endpoint does not answer.
pub(super) async fn drain(files: &Files) {
    // Whatever goes wrong here, the process is ended afterwards.
    let _ = tokio::time::timeout(LIMIT, until_idle(files)).await;
}

async fn until_idle(files: &Files) -> anyhow::Result<()> {
    let mut admin = Admin::of(files).await?;
    // Nobody has to be told to go elsewhere, so there is no pause between the two.
    admin.ask(Method::POST, "/drain_listeners?graceful&skip_exit").await?;
    admin.ask(Method::POST, "/drain_listeners").await?;
    loop {
        tokio::time::sleep(LOOK).await;
        let stats = admin.ask(Method::GET, "/stats?filter=downstream_.._active").await?;
        if under_way(&String::from_utf8_lossy(&stats)) == 0 {
            return Ok(());
        }
    }
}

/// Requests, and connections that are not of HTTP. A connection of HTTP without a request may be closed at any time.
fn under_way(stats: &str) -> i64 {
    let mut count = 0;
    for (name, value) in stats.lines().filter_map(|line| line.split_once(": ")) {
        let value: i64 = value.trim().parse().unwrap_or_default();
        match name.split_once('.') {
            Some((_, rest)) if rest.starts_with("admin.") || rest.contains(".worker_") => {}
            Some(("http", rest)) if rest.ends_with(".downstream_rq_active") => count += value,
            Some(("http", rest)) if rest.ends_with(".downstream_cx_active") => count -= value,
            Some(("listener", rest)) if rest.ends_with(".downstream_cx_active") => count += value,
            _ => {}
        }
    }
    count
}

/// An Envoy's admin endpoint, over one connection.
struct Admin(SendRequest<Empty<Bytes>>);

impl Admin {
    async fn of(files: &Files) -> anyhow::Result<Admin> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let dir = File::open(files.admin.parent().ok_or_else(missing)?)?;
        let name = files.admin.file_name().ok_or_else(missing)?.to_string_lossy();
        // The kernel takes paths of 107 bytes, and the directory's may be longer.
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd())).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Admin(sender))
    }

    async fn ask(&mut self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        self.0.ready().await?;
        let answer = self.0.send_request(request.body(Empty::new())?).await?;
        Ok(answer.into_body().collect().await?.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::under_way;

    #[test]
    fn idle_connections_of_http_and_our_own_do_not_count() {
        let stats = "http.admin.downstream_cx_active: 1\nhttp.admin.downstream_rq_active: 1\n\
                     listener.admin.downstream_cx_active: 1\nlistener.admin.main_thread.downstream_cx_active: 1\n\
                     http.http_80.downstream_cx_active: 2\nhttp.http_80.downstream_rq_active: 0\n\
                     listener.127.0.0.1_80.downstream_cx_active: 2\n\
                     listener.127.0.0.1_80.worker_0.downstream_cx_active: 2\n";
        assert_eq!(under_way(stats), 0);
        let request = stats.replace("http_80.downstream_rq_active: 0", "http_80.downstream_rq_active: 1");
        assert_eq!(under_way(&request), 1);
        let tcp = format!("{stats}listener.127.0.0.1_81.downstream_cx_active: 3\n");
        assert_eq!(under_way(&tcp), 3);
        assert_eq!(under_way(""), 0);
    }
}
