//! The bytes of one connection, counted: a peer that nobody knows may say little, and no peer may flood.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{frames::FrameMeter, gate::Seat};
use crate::metrics;

/// What a connection may send before its peer is known. A proxy that comes back fills the connection's window (64 KiB)
/// with its first message, headers and frames aside, and all of it may be read before the token is looked at.
const UNKNOWN_BYTES: usize = 128 << 10;

/// A connection under its limits. Beyond them reading fails, which closes it.
pub(super) struct Metered<S> {
    stream: S,
    seat: Arc<Seat>,
    frames: FrameMeter,
    unknown_bytes: usize,
    sent: u64,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, seat: Arc<Seat>) -> Self {
        Metered { stream, seat, frames: FrameMeter::new(Instant::now()), unknown_bytes: 0, sent: 0 }
    }

    fn count(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.seat.is_unknown() {
            self.unknown_bytes = 0;
        } else if !bytes.is_empty() {
            self.unknown_bytes += bytes.len();
            if self.unknown_bytes > UNKNOWN_BYTES {
                metrics::refused("unknown_bytes");
                return Err(io::Error::other(format!("{UNKNOWN_BYTES} bytes without a token")));
            }
        }
        self.frames.take(bytes, self.sent, Instant::now()).map_err(|flood| {
            metrics::refused("flood");
            io::Error::other(flood)
        })
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.sent += bytes as u64;
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.count(&buffer.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
