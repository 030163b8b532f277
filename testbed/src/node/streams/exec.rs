//! A command: 0 is its input, 1 and 2 are its outputs, 3 says how it ended, 4 is the size of a terminal. There are no
//! terminals here.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::ChildStdin;
use tokio::sync::mpsc;

use super::{Socket, next, sending};
use crate::node::container::process::{Entrance, Exit};

/// In the place of a channel's number (v5): the channel that follows ends.
const CLOSE: u8 = 255;

pub(super) async fn serve(socket: Socket, words: &[String], container: &Entrance) {
    let (sink, mut stream) = socket.split();
    let out = sending(sink);
    let mut child = match container.spawn(words) {
        Ok(child) => child,
        Err(error) => {
            let message = format!("{words:?} can't be started: {error}");
            let _ = out
                .send(on(3, json!({"status": "Failure", "message": message}).to_string().as_bytes()))
                .await;
            return;
        }
    };
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return };
    let ended = async {
        tokio::join!(pump(1, stdout, &out), pump(2, stderr, &out));
        child.wait().await
    };
    tokio::select! {
        ended = ended => {
            let status = ended.map_or_else(
                |error| json!({"status": "Failure", "message": error.to_string()}),
                |status| status_of(Exit::from(status)),
            );
            let _ = out.send(on(3, status.to_string().as_bytes())).await;
        }
        () = feed(&mut stream, stdin) => {}
    }
}

/// Hands the client's input on, until the client is gone.
async fn feed(stream: &mut futures_util::stream::SplitStream<Socket>, mut stdin: Option<ChildStdin>) {
    while let Some(message) = next(stream).await {
        match message[..] {
            [CLOSE, 0] => stdin = None,
            [0, ref data @ ..] => {
                if let Some(to) = &mut stdin
                    && (to.write_all(data).await.is_err() || to.flush().await.is_err())
                {
                    stdin = None;
                }
            }
            _ => {}
        }
    }
}

async fn pump(channel: u8, mut from: impl AsyncRead + Unpin, out: &mpsc::Sender<Bytes>) {
    loop {
        let mut message = BytesMut::with_capacity(16 << 10);
        message.extend_from_slice(&[channel]);
        match from.read_buf(&mut message).await {
            Ok(0) | Err(_) => return,
            Ok(_) => drop(out.send(message.freeze()).await),
        }
    }
}

/// As kubectl reads it.
fn status_of(exit: Exit) -> Value {
    if exit.code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": format!("command terminated with exit code {}", exit.code),
        "details": {"causes": [{"reason": "ExitCode", "message": exit.code.to_string()}]},
    })
}

fn on(channel: u8, data: &[u8]) -> Bytes {
    [&[channel], data].concat().into()
}
