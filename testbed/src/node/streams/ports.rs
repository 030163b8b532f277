//! Ports of a pod, each with a channel for data and one for what went wrong; both begin with the port's number.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{QUEUE, Socket, next, sending};
use crate::node::container::process::Entrance;

pub(super) async fn serve(socket: Socket, ports: &[u16], pod: Entrance) {
    let (sink, mut stream) = socket.split();
    let out = sending(sink);
    let mut inputs: BTreeMap<u8, mpsc::Sender<Bytes>> = BTreeMap::new();
    for (channel, port) in (0_u8..).step_by(2).zip(ports.iter().copied()) {
        for channel in [channel, channel + 1] {
            let _ = out.send(on(channel, &port.to_le_bytes())).await;
        }
        let (input, received) = mpsc::channel(QUEUE);
        inputs.insert(channel, input);
        let (out, pod) = (out.clone(), pod.clone());
        tokio::spawn(async move {
            if let Err(why) = forward(&pod, port, received, &out, |data| on(channel, data)).await {
                let _ = out.send(on(channel + 1, why.as_bytes())).await;
            }
        });
    }
    drop(out);
    while let Some(mut message) = next(&mut stream).await {
        if message.is_empty() {
            continue;
        }
        let channel = message.split_to(1)[0];
        if let Some(input) = inputs.get(&channel)
            && input.send(message).await.is_err()
        {
            inputs.remove(&channel);
        }
    }
}

fn on(channel: u8, data: &[u8]) -> Bytes {
    [&[channel], data].concat().into()
}

/// Carries bytes both ways until both have ended.
///
/// # Errors
/// Nobody listens.
pub(super) async fn forward(
    pod: &Entrance,
    port: u16,
    mut input: mpsc::Receiver<Bytes>,
    out: &mpsc::Sender<Bytes>,
    message: impl Fn(&[u8]) -> Bytes,
) -> Result<(), String> {
    let stream: TcpStream =
        pod.connect(port).await.map_err(|error| format!("port {port} of the pod: {error}"))?;
    let (mut from, mut to) = stream.into_split();
    let received = async {
        while let Some(data) = input.recv().await {
            if to.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    let sent = async {
        loop {
            let mut data = BytesMut::with_capacity(16 << 10);
            match from.read_buf(&mut data).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    if out.send(message(&data)).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    // Who answered to the end waits for no more.
    tokio::pin!(received);
    tokio::select! {
        () = sent => {}
        () = async { (&mut received).await; std::future::pending::<()>().await } => {}
    }
    Ok(())
}
