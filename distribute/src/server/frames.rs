//! What a peer may spend on HTTP/2 frames that bring nothing: PING, SETTINGS, RST_STREAM, streams opened and
//! closed, empty DATA. Each costs the server work, and none is bounded by flow control.

use std::time::Duration;

use tokio::time::Instant;

/// The client's connection preface (RFC 9113, 3.4).
const PREFACE: usize = 24;
const HEADER: usize = 9;
const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 8;
const NAMES: [&str; 10] = [
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
];
/// Frames at once, and one more each so often. A proxy sends a dozen when it connects, then a PING now and then.
const BURST: u32 = 256;
const EACH: Duration = Duration::from_millis(30);
/// Window updates at once, and one more for so many bytes that were sent to the peer.
const UPDATES: u64 = 1024;
const BYTES_AN_UPDATE: u64 = 64;

/// Counts the frames of a connection as its bytes come in.
#[derive(Debug)]
pub(super) struct FrameMeter {
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
    left: u32,
    refilled: Instant,
    updates: u64,
}

/// More frames than a proxy has use for: the kind of the last one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a flood of {0} frames")]
pub(super) struct Flood(&'static str);

impl FrameMeter {
    pub(super) fn new(now: Instant) -> FrameMeter {
        let header = [0; HEADER];
        FrameMeter { skip: PREFACE, header, filled: 0, left: BURST, refilled: now, updates: 0 }
    }

    /// Takes bytes that came, when `sent` bytes in all have gone to the peer.
    ///
    /// # Errors
    /// If they are a flood: the connection is to be closed.
    pub(super) fn take(&mut self, mut bytes: &[u8], sent: u64, now: Instant) -> Result<(), Flood> {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let more = bytes.len().min(HEADER - self.filled);
            self.header[self.filled..self.filled + more].copy_from_slice(&bytes[..more]);
            self.filled += more;
            bytes = &bytes[more..];
            if self.filled == HEADER {
                self.filled = 0;
                let [a, b, c, kind, ..] = self.header;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.count(kind, sent, now)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, kind: u8, sent: u64, now: Instant) -> Result<(), Flood> {
        let allowed = match kind {
            DATA if self.skip > 0 => true,
            WINDOW_UPDATE => {
                self.updates += 1;
                self.updates <= UPDATES + sent / BYTES_AN_UPDATE
            }
            _ => self.spend(now),
        };
        if allowed { Ok(()) } else { Err(Flood(NAMES.get(usize::from(kind)).unwrap_or(&"unknown"))) }
    }

    fn spend(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled).as_millis() / EACH.as_millis();
        let passed = u32::try_from(passed).unwrap_or(BURST);
        if passed > 0 {
            self.refilled = now;
            self.left = self.left.saturating_add(passed).min(BURST);
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, Duration, EACH, Flood, FrameMeter, Instant, PREFACE, UPDATES};

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 0];
        frame.resize(9 + usize::from(length), 0);
        frame
    }

    #[test]
    fn a_burst_is_allowed_and_then_a_few_at_a_time() {
        let mut now = Instant::now();
        let mut meter = FrameMeter::new(now);
        meter.take(&[0; PREFACE], 0, now).unwrap();
        for _ in 0..BURST {
            meter.take(&frame(6, 8), 0, now).unwrap();
        }
        assert_eq!(meter.take(&frame(6, 8), 0, now), Err(Flood("PING")));
        for _ in 0..1000 {
            now += EACH;
            meter.take(&frame(6, 8), 0, now).unwrap();
        }
        now += Duration::from_secs(3600);
        let many = frame(4, 0).repeat(BURST as usize + 1);
        assert_eq!(meter.take(&many, 0, now), Err(Flood("SETTINGS")));
    }

    #[test]
    fn data_is_free_unless_it_is_empty() {
        let now = Instant::now();
        let mut meter = FrameMeter::new(now);
        let mut bytes = vec![0; PREFACE];
        bytes.extend(frame(0, 100).repeat(5000));
        // However it is cut.
        for piece in bytes.chunks(7) {
            meter.take(piece, 0, now).unwrap();
        }
        assert_eq!(meter.take(&frame(0, 0).repeat(BURST as usize + 1), 0, now), Err(Flood("DATA")));
    }

    #[test]
    fn window_updates_follow_what_was_sent() {
        let now = Instant::now();
        let mut meter = FrameMeter::new(now);
        meter.take(&[0; PREFACE], 0, now).unwrap();
        meter.take(&frame(8, 4).repeat(UPDATES as usize), 0, now).unwrap();
        assert_eq!(meter.take(&frame(8, 4), 0, now), Err(Flood("WINDOW_UPDATE")));
        meter.take(&frame(8, 4).repeat(1000), 1 << 20, now).unwrap();
    }
}
